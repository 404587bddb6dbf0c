// SPDX-License-Identifier: Apache-2.0
// The services part of a configuration as the text of a file that people read: servers, checks and VIPs take a line each.
import { Document, isMap, visit, type YAMLMap } from 'yaml';
import type { ServicesSection } from './services.js';

const inOneLine = ['sorry_server', 'quorum_up', 'quorum_down', 'notify_up', 'notify_down', 'load'];

export function fileText(section: ServicesSection): string {
  const document = new Document(section, { aliasDuplicateObjects: false });
  visit(document, {
    Map: (_, map) => {
      for (const name of inOneLine) flowOf(map, name);
    },
    Seq: (_, list) => {
      for (const item of list.items) if (isMap(item) && !item.has('servers') && !item.has('health')) item.flow = true;
    },
  });
  return document.toString({ lineWidth: 0 });
}

function flowOf(map: YAMLMap, name: string): void {
  const value = map.get(name, true) as unknown as { flow?: boolean } | undefined;
  if (value !== undefined) value.flow = true;
}
