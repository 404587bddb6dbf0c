// SPDX-License-Identifier: Apache-2.0
// lvs_method: NAT, DR, or TUN with its type of tunnel.
import type { ServerSpecEntry } from '../../config/servers.js';
import type { Warn } from '../source.js';
import type { Statement } from './blocks.js';

export type Method = Pick<ServerSpecEntry, 'tunnel_type' | 'tunnel_port' | 'tunnel_checksum'> & {
  readonly method: 'nat' | 'dr' | 'tun';
};

/** keepalived's default, unlike ipvsadm's. */
export const defaultMethod: Method = { method: 'nat' };

/** "NAT", "DR", "TUN [type ipip | gre | gue port N] [nocsum | csum | remcsum]". */
export function methodOf({ keyword, words, place }: Statement, warn: Warn): Method | undefined {
  const [name = '', ...options] = words.map(({ text }) => text.toLowerCase());
  if (name === 'nat' || name === 'dr') return { method: name };
  if (name !== 'tun') {
    warn(place, `${keyword} "${name}" is none of NAT, DR, TUN; ignored`);
    return undefined;
  }
  const text = options.join(' ');
  const [, type = 'ipip'] = /\btype (ipip|gue|gre)\b/.exec(text) ?? [];
  const [, port] = /\bport (\d{1,5})\b/.exec(text) ?? [];
  const [checksum] = /\b(nocsum|csum|remcsum)\b/.exec(text) ?? [];
  const rest = text.replace(/\btype (ipip|gue|gre)\b|\bport \d{1,5}\b|\b(nocsum|csum|remcsum)\b/g, '').trim();
  if (rest !== '') warn(place, `${keyword} TUN: "${rest}" is unknown; ignored`);
  return {
    method: 'tun',
    ...(type !== 'ipip' && { tunnel_type: type }),
    ...(type === 'gue' && port !== undefined && { tunnel_port: Number(port) }),
    ...(type !== 'ipip' && checksum !== undefined && { tunnel_checksum: checksum }),
  };
}
