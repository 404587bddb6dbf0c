// SPDX-License-Identifier: Apache-2.0
// Manual pages and shell completion from the tree of commands: dist/man/*, dist/completion/*. Not part of what npm start
// builds; npm run man makes them, and packaging.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completionScripts } from '../cli/completion.js';
import { wholeProgram } from '../cli/fulcrum.js';
import { helpText } from '../cli/ipvsadm/help.js';
import { processStreams } from '../cli/streams.js';
import { type CommandNode, treeOf } from '../cli/tree.js';
import { version } from '../manager/version.js';
import { escaped, mainPage, nounPage, type PageContext, pageName } from './man_page.js';
import { filesBelow, root, type Step } from './step.js';

/** Name of a file below dist/ → its text. */
export async function manualFiles(date: string): Promise<ReadonlyMap<string, string>> {
  const tree = await readTree();
  const pages = [tree, ...tree.commands].map((node) => `${pageName(node)}(1)`);
  const context: PageContext = { version, date, pages: [...pages, 'ipvsadm(8)'] };
  const nouns = tree.commands.map((node) => [`man/${pageName(node)}.1`, nounPage(node, tree, context)] as const);
  const scripts = Object.entries(completionScripts).map(
    ([shell, script]) => [`completion/${completionNames[shell]}`, script(tree)] as const,
  );
  return new Map([
    ['man/fulcrum.1', mainPage(tree, context)],
    ...nouns,
    ['man/ipvsadm.8', ipvsadmPage(context)],
    ...scripts,
  ]);
}

/** As the shells' directories want them. */
const completionNames: Readonly<Record<string, string>> = { bash: 'fulcrum', zsh: '_fulcrum', fish: 'fulcrum.fish' };

async function readTree(): Promise<CommandNode> {
  const refuse = async (): Promise<never> => {
    throw new Error('nothing is run here');
  };
  const cli = { ...processStreams(), connect: refuse, signal: new AbortController().signal, setExitCode: () => {} };
  return treeOf(await wholeProgram(cli));
}

/** Its own text as it stands: who knows ipvsadm reads it so. */
function ipvsadmPage({ version: of, date }: PageContext): string {
  const about = `The commands of LVS's ipvsadm, carried out by the director of this network namespace. The words, what is printed
and the exit status are those that scripts and keepalived know.`;
  return `.\\" Made from the text of "ipvsadm \\-h".
.TH IPVSADM 8 ${date} "fulcrum ${of}" "Fulcrum"
.nh
.SH NAME
ipvsadm \\- Linux Virtual Server administration, for a Fulcrum director
.SH SYNOPSIS
.B ipvsadm
\\fIcommand\\fR [\\fIoption\\fR]...
.SH DESCRIPTION
${escaped(about)}
.SH COMMANDS AND OPTIONS
.nf
${escaped(helpText.trimEnd())}
.fi
.SH SEE ALSO
fulcrum(1), fulcrum\\-service(1), fulcrum\\-server(1)
`;
}

export function manualSteps(date: string): readonly Step[] {
  return [
    {
      name: 'manual pages and completion',
      stamp: join(root, 'dist/man/.stamp'),
      inputs: [
        ...filesBelow('src/cli', (path) => path.endsWith('.ts')),
        ...['man_page.ts', 'manual.ts'].map((name) => join(root, 'src/build', name)),
        join(root, 'package.json'),
      ],
      run: async () => {
        for (const directory of ['man', 'completion']) {
          rmSync(join(root, 'dist', directory), { recursive: true, force: true });
          mkdirSync(join(root, 'dist', directory), { recursive: true });
        }
        for (const [name, text] of await manualFiles(date)) writeFileSync(join(root, 'dist', name), text);
      },
    },
  ];
}
