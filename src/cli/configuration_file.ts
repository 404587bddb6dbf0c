// SPDX-License-Identifier: Apache-2.0
// Files of services, VIPs and settings, as commands take them: read, sent, and refused by the place in the file.
import { readFile } from 'node:fs/promises';
import type { Document } from '../config/document.js';
import type { ServicesSection } from '../config/services.js';
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Cli } from './cli.js';
import { CommandError } from './exit_codes.js';

export async function readText(cli: Cli, file: string): Promise<string> {
  if (file === '-') {
    let text = '';
    for await (const piece of cli.input()) text += piece;
    return text;
  }
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(
      `${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}`,
    );
  }
}

async function readServices(cli: Cli, file: string): Promise<Document<ServicesSection>> {
  const text = await readText(cli, file);
  const name = file === '-' ? '<stdin>' : file;
  const [{ readDocument }, { servicesSchema }, { directorSchema }] = await Promise.all([
    import('../config/document.js'),
    import('../config/services.js'),
    import('../config/schema.js'),
  ]);
  const isWholeFile = /^ports\s*:/m.test(text);
  return readDocument<ServicesSection>(text, name, isWholeFile ? directorSchema : servicesSchema);
}

/** Hands on what a file says; a refusal of the director's names the place in it. */
export async function withConfigurationFile<T>(
  cli: Cli,
  file: string,
  hand: (configuration: Configuration) => Promise<T>,
): Promise<T> {
  const document = await readServices(cli, file);
  const { documentPath, toConfiguration } = await import('../config/services.js');
  const { ConfigurationError } = await import('../config/document.js');
  try {
    return await hand(toConfiguration(document));
  } catch (error) {
    if (!(error instanceof FulcrumError) || !error.field.startsWith('configuration')) throw error;
    throw new ConfigurationError([document.problem(documentPath(error.field), error.message)]);
  }
}
