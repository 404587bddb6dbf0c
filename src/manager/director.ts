// SPDX-License-Identifier: Apache-2.0
// The single writer of the intent. Edits are worked out one after the other against the model; those that wait together
// become durable with one write. Only then are they readable, published to watchers and queued for the dataplane.
import { describeWithoutSecrets } from '../config/secrets.js';
import type { Operation } from '../generated/fulcrum/v1/Operation.js';
import type { Role } from '../grpc/caller.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Logger } from '../grpc/log.js';
import { revisionText } from './messages.js';
import type { Applied, Model } from './model.js';
import { type ServerKey, type ServiceKey, serverId, serviceId } from './nouns.js';
import type { Reconciler } from './reconciler.js';
import type { State } from './state_file.js';
import type { Store } from './store.js';
import type { Broadcaster } from './watch.js';

/** Operations that an audit line shows; of more it says how many. */
const auditedOperations = 20;

export interface Edit {
  /** Works out the edit against the model as it is when its turn comes. Throws to refuse it. */
  readonly apply: (model: Model, lineage: string) => Applied;
  /** Stop before anything is changed. */
  readonly validateOnly: boolean;
  /** For the audit. */
  readonly identity: string;
  readonly method: string;
  /** Left out where a part of the director makes it. */
  readonly role?: Role;
  readonly peer?: string;
}

/** What became of an edit. */
export interface EditOutcome {
  readonly edit: Edit;
  readonly before: State;
  /** As before, unless it was made. */
  readonly after: State;
  /** Undefined if it was refused. */
  readonly applied?: Applied;
  readonly error?: unknown;
}

export interface Outcome {
  readonly applied: Applied;
  readonly lineage: string;
  /** Generation that has it: the current one if nothing had to be changed. */
  readonly generation: number;
}

type Listener = (before: Model, after: Model, applied: Applied, edit: Edit) => void;

interface Pending {
  readonly edit: Edit;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

interface Accepted extends Pending {
  readonly before: State;
  readonly after: State;
  readonly applied: Applied;
}

export class Director {
  readonly #store: Store;
  readonly #broadcaster: Broadcaster;
  readonly #log: Logger;
  #state: State;
  #pending: Pending[] = [];
  #busy = false;
  #worked: Promise<void> = Promise.resolve();
  #reconciler: Reconciler | undefined;
  readonly #listeners: Listener[] = [];
  readonly #auditors: ((outcome: EditOutcome) => void)[] = [];
  /** Since the start: by method, and those that were refused by reason. */
  readonly edits = new Map<string, number>();
  readonly refusals = new Map<string, number>();

  constructor(store: Store, broadcaster: Broadcaster, log: Logger) {
    this.#store = store;
    this.#broadcaster = broadcaster;
    this.#log = log;
    this.#state = store.loaded;
  }

  /** What is durable now. */
  get state(): State {
    return this.#state;
  }

  /** From now on edits go to the dataplane too. */
  attach(reconciler: Reconciler): void {
    this.#reconciler = reconciler;
  }

  /** Called after each edit that changed something. */
  listen(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** Called of every edit, also of those that were refused, or only validated. */
  onOutcome(auditor: (outcome: EditOutcome) => void): void {
    this.#auditors.push(auditor);
  }

  #tellOutcome(outcome: EditOutcome): void {
    for (const auditor of this.#auditors) auditor(outcome);
  }

  /** Resolves when the edit is durable. */
  edit(edit: Edit): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ edit, resolve, reject });
      if (!this.#busy) this.#worked = this.#work();
    });
  }

  /** Resolves when no edit is under way. */
  async settle(): Promise<void> {
    while (this.#busy) await this.#worked;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#pending.length > 0) {
        const batch = this.#pending;
        this.#pending = [];
        const accepted = this.#workOut(batch);
        if (accepted.length > 0) await this.#commit(accepted);
      }
    } finally {
      this.#busy = false;
    }
  }

  /** Carries the edits out on values, and answers those that change nothing or are refused. */
  #workOut(batch: readonly Pending[]): Accepted[] {
    const accepted: Accepted[] = [];
    let state = this.#state;
    for (const pending of batch) {
      try {
        const applied = pending.edit.apply(state.model, state.lineage);
        const { lineage, generation } = state;
        if (pending.edit.validateOnly || applied.carriedOut.length + applied.conditions.length === 0) {
          this.#tellOutcome({ edit: pending.edit, before: state, after: state, applied });
          pending.resolve({ applied, lineage, generation });
        } else {
          const after = { lineage, generation: generation + 1, model: applied.model };
          accepted.push({ ...pending, before: state, after, applied });
          state = after;
        }
      } catch (error) {
        this.#auditRefusal(pending.edit, error);
        this.#tellOutcome({ edit: pending.edit, before: state, after: state, error });
        pending.reject(error);
      }
    }
    return accepted;
  }

  async #commit(accepted: readonly Accepted[]): Promise<void> {
    const last = accepted[accepted.length - 1] as Accepted;
    try {
      const records = accepted.map(({ after, applied }) => ({
        generation: after.generation,
        operations: applied.carriedOut,
        conditions: applied.conditions,
      }));
      await this.#store.commit(last.after, records);
    } catch (error) {
      this.#log.error({ err: error }, 'the state cannot be written');
      const message = `the state cannot be written, nothing was changed: ${(error as Error).message}`;
      for (const { edit, before, reject } of accepted) {
        const failure = new FulcrumError({ code: 'INTERNAL', message, cause: error });
        this.#tellOutcome({ edit, before, after: before, error: failure });
        reject(failure);
      }
      return;
    }
    this.#state = last.after;
    for (const one of accepted) this.#publish(one);
  }

  #publish({ edit, before, after, applied, resolve }: Accepted): void {
    const { lineage, generation } = after;
    if (applied.carriedOut.length > 0) this.#audit(edit, before, after, applied.carriedOut);
    this.#broadcaster.publishEdit(before.model, after.model, applied.touched);
    this.#reconciler?.submit({ generation, operations: applied.effects });
    for (const listener of this.#listeners) listener(before.model, after.model, applied, edit);
    this.#tellOutcome({ edit, before, after, applied });
    resolve({ applied, lineage, generation });
  }

  #audit({ identity, method }: Edit, before: State, after: State, operations: readonly Operation[]): void {
    const audit = {
      identity,
      method,
      revisionBefore: revisionText(before.lineage, before.model.revision),
      revision: revisionText(after.lineage, after.model.revision),
      operations: operations.slice(0, auditedOperations).map(describeOperation),
      count: operations.length,
    };
    this.#log.info({ audit }, 'edit');
    const name = method.split('/').at(-1) ?? method;
    this.edits.set(name, (this.edits.get(name) ?? 0) + 1);
  }

  #auditRefusal({ identity, method, validateOnly }: Edit, error: unknown): void {
    if (validateOnly || !(error instanceof FulcrumError)) return;
    const kind = reasonName(error);
    this.refusals.set(kind, (this.refusals.get(kind) ?? 0) + 1);
    const audit = { identity, method, code: error.code, reason: error.reason, refused: describeWithoutSecrets(error) };
    this.#log.info({ audit }, 'edit refused');
  }
}

/** "service_exists", or the status where there is no reason. */
function reasonName({ reason, code }: FulcrumError): string {
  return (reason === 'REASON_UNSPECIFIED' ? code : reason.replace('REASON_', '')).toLowerCase();
}

function describeServer(change: { readonly service?: unknown; readonly key?: unknown } | null | undefined): string {
  return `${serviceId(change?.service as ServiceKey)} ${serverId(change?.key as ServerKey)}`;
}

/** "tcpS=60 udpS=30", without those of a value that means nothing. */
function settingsText(settings: object, nothing?: number): string {
  return Object.entries(settings)
    .filter(([, value]) => value !== nothing)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** "add_server TCP 192.0.2.1:80 10.0.0.1:80", of an operation in normal form. */
export function describeOperation(operation: Operation): string {
  if (operation.addService) return `add_service ${serviceId(operation.addService.key as ServiceKey)}`;
  if (operation.editService) return `edit_service ${serviceId(operation.editService.key as ServiceKey)}`;
  if (operation.deleteService) return `delete_service ${serviceId(operation.deleteService as ServiceKey)}`;
  if (operation.addServer) return `add_server ${describeServer(operation.addServer)}`;
  if (operation.editServer) return `edit_server ${describeServer(operation.editServer)}`;
  if (operation.deleteServer) return `delete_server ${describeServer(operation.deleteServer)}`;
  if (operation.flush) return 'flush';
  if (operation.zero)
    return operation.zero.service ? `zero ${serviceId(operation.zero.service as ServiceKey)}` : 'zero';
  if (operation.setTimeouts) return `set_timeouts ${settingsText(operation.setTimeouts, 0)}`;
  if (operation.setTunables) return `set_tunables ${settingsText(operation.setTunables)}`;
  if (operation.setMarkRules) return `set_mark_rules ${operation.setMarkRules.rules?.length ?? 0} rules`;
  if (operation.setHealth) return `set_health ${serviceId(operation.setHealth.service as ServiceKey)}`;
  if (operation.setServerHealth) return `set_server_health ${describeServer(operation.setServerHealth)}`;
  if (operation.setDrain)
    return `set_drain ${describeServer(operation.setDrain)} ${settingsText(operation.setDrain.drain ?? { drain: 'none' }, 0)}`;
  if (operation.setTraffic) return `set_traffic ${serviceId(operation.setTraffic.service as ServiceKey)}`;
  if (operation.setPrefixList) {
    const { name, prefixes } = operation.setPrefixList;
    return `set_prefix_list ${name} ${prefixes?.length ?? 0} prefixes`;
  }
  if (operation.deletePrefixList) return `delete_prefix_list ${operation.deletePrefixList}`;
  if (operation.setVip) return `set_vip ${Object.values(operation.setVip).join(' ')}`;
  return `delete_vip ${operation.deleteVip}`;
}
