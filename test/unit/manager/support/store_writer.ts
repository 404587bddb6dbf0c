// SPDX-License-Identifier: Apache-2.0
// Writes one state after the other, as fast as it can, and prints each generation when it is durable. Runs until killed.
import { applyOperations } from '../../../../src/manager/model.js';
import { Store } from '../../../../src/manager/store.js';
import { addServer, addService, editServer } from './operations.js';

const web = 'tcp 192.0.2.1:80';
const store = await Store.open(process.argv[2] ?? '');
const { lineage } = store.loaded;
let { generation, model } = store.loaded;
if (model.services.size === 0) {
  const servers = Array.from({ length: 2_000 }, (_, index) =>
    addServer(web, `10.0.${index >> 8}.${index & 255 || 255}:${1 + index}`, { method: 'FORWARDING_METHOD_NAT' }),
  );
  model = applyOperations(model, [addService(web), ...servers]).model;
  await store.save({ lineage, generation: ++generation, model });
}
for (;;) {
  generation++;
  // The weight tells the generation, so that a mixture of two states would be seen.
  const edited = applyOperations(model, [
    editServer(web, '10.0.0.1:2', { method: 'FORWARDING_METHOD_NAT', weight: generation }),
  ]);
  model = edited.model;
  await store.commit({ lineage, generation, model }, [{ generation, operations: edited.carriedOut }]);
  // Now and then the whole state is written meanwhile.
  if (generation % 5 === 0) await store.save({ lineage, generation, model });
  process.stdout.write(`${generation}\n`);
}
