// SPDX-License-Identifier: Apache-2.0
// Where the build puts the engine's bench.

import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';

export const benchProgram = join(projectRoot, 'dataplane/build/Release/dataplane_bench');
