// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';

/** The project's. */
export const version = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')).version as string;
