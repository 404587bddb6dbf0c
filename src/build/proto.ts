// SPDX-License-Identifier: Apache-2.0
// From proto/: TypeScript types (src/generated), the descriptor set that reflection serves (dist/descriptors.binpb), and the
// engine's C++ messages (dataplane/generated).

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';
import { answer, binary, filesBelow, root, runIfMain, type Step, tool } from './step.js';

const protoDirectory = join(root, 'proto');

// As src/grpc/loader.ts loads them.
const typeOptions = [
  '--longs=String',
  '--enums=String',
  '--defaults',
  '--oneofs',
  '--arrays',
  '--includeComments',
  `--includeDirs=${protoDirectory}`,
  '--grpcLib=@grpc/grpc-js',
  '--importFileExtension=.js',
  '--targetFileExtension=.ts',
] as const;

export async function protoSteps(): Promise<readonly Step[]> {
  const files = filesBelow('proto', (path) => path.endsWith('.proto'));
  const names = files.map((file) => file.slice(protoDirectory.length + 1));
  const types = join(root, 'src/generated');
  const descriptors = join(root, 'dist/descriptors.binpb');
  const messages = join(root, 'dataplane/generated');
  return [
    {
      name: 'proto: TypeScript types',
      stamp: join(types, '.stamp'),
      inputs: [...files, join(root, 'node_modules/@grpc/proto-loader/package.json')],
      facts: typeOptions.slice(0, 6),
      run: async () => {
        rmSync(types, { recursive: true, force: true });
        await tool([binary('proto-loader-gen-types'), ...typeOptions, `--outDir=${types}`, ...names]);
        // The generator leaves imports that nobody uses, which the project's own flags refuse.
        for (const file of filesBelow('src/generated', (path) => path.endsWith('.ts')))
          writeFileSync(file, `// @ts-nocheck\n${readFileSync(file, 'utf8')}`);
      },
    },
    {
      name: 'proto: descriptor set',
      stamp: join(root, 'dist/.descriptors-stamp'),
      inputs: files,
      run: async () => {
        mkdirSync(join(root, 'dist'), { recursive: true });
        await tool([binary('buf'), 'build', protoDirectory, '-o', descriptors]);
      },
    },
    {
      name: "proto: the director's messages, parsed",
      stamp: join(root, 'dist/.director-stamp'),
      inputs: files,
      run: async () => writeCompiledDirector(join(root, 'dist/director.json')),
    },
    {
      name: 'proto: C++ messages',
      stamp: join(messages, '.stamp'),
      inputs: files,
      facts: [await answer('protoc', '--version')],
      run: async () => {
        rmSync(messages, { recursive: true, force: true });
        mkdirSync(messages, { recursive: true });
        await tool(['protoc', `--cpp_out=${messages}`, `-I${protoDirectory}`, ...names]);
      },
    },
  ];
}

/** What src/grpc/compiled_service.ts reads. */
function writeCompiledDirector(path: string): void {
  const parsed = new protobuf.Root();
  parsed.resolvePath = (_origin, target) => {
    const own = join(protoDirectory, target);
    return existsSync(own) ? own : target;
  };
  parsed.loadSync('fulcrum/v1/director.proto');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(parsed.toJSON()));
}

await runIfMain(import.meta.url, protoSteps);
