// SPDX-License-Identifier: Apache-2.0
// npm run man: manual pages and completion, if they are not those of the sources. SOURCE_DATE_EPOCH dates them.

import { manualSteps } from './manual.js';
import { build } from './step.js';

const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(Date.now() / 1000));
await build(manualSteps(new Date(seconds * 1000).toISOString().slice(0, 10)));
