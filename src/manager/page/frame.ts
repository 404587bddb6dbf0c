// SPDX-License-Identifier: Apache-2.0
// The page as it is at one moment, section by section as JSON. Each is made when the first viewer needs it, and once:
// viewers of the same share its text, and what cannot have changed since is taken from the frame before.
import { hostname } from 'node:os';
import { formatServiceKey } from '../../config/keys.js';
import { families } from '../../config/mark_rules.js';
import { verdictMeanings } from '../../config/verdict_meanings.js';
import type { Overload__Output } from '../../generated/fulcrum/v1/Overload.js';
import type {
  Change,
  Head,
  PortRow,
  ServiceDetail,
  Sparks,
  Totals,
  Update,
  VerdictRow,
  WorkerRow,
} from '../../web/view.js';
import type { Past } from '../history/history.js';
import { type LiveOf, revisionText } from '../messages.js';
import { countServers } from '../model.js';
import { type Service, serviceId } from '../nouns.js';
import type { ReconcilerStatus } from '../reconciler.js';
import type { State } from '../state_file.js';
import type { Disagreement } from '../verify/verifier.js';
import { version } from '../version.js';
import type { Happenings } from './happenings.js';
import { attention, serverList, serviceList, serviceRow } from './lists.js';
import type { Parameters } from './parameters.js';
import { type PlotStore, pointOf, secondOf, sparkStep } from './plots.js';
import type { Sample, ServerSamples } from './sample.js';
import { settingsOf } from './settings.js';

export interface Moment {
  readonly state: State;
  readonly status: ReconcilerStatus;
  /** Undefined while the dataplane does not tell. */
  readonly sample: Sample | undefined;
  readonly servers: ServerSamples;
  /** Seconds between two readings of a service's servers. */
  readonly everyS: (service: Service) => number;
  readonly plots: PlotStore;
  readonly happenings: Happenings;
  /** Newest first. */
  readonly history: readonly Past[];
  readonly liveOf: LiveOf;
  readonly disagreements: readonly Disagreement[];
  /** Of the manager, milliseconds since 1970. */
  readonly startedAt: number;
}

export type Section = Exclude<keyof Update, 'plots' | 'point'>;

/** What a text was made from: while all of it is the same, so is the text. */
interface Made {
  readonly from: readonly unknown[];
  readonly text: string;
}

const shownChanges = 20;
/** Of a change's operations. */
const shownOperations = 4;

export class Frame {
  readonly #moment: Moment;
  readonly #before: ReadonlyMap<string, Made>;
  readonly #made = new Map<string, Made>();

  constructor(moment: Moment, before?: Frame) {
    this.#moment = moment;
    this.#before = before === undefined ? new Map() : before.#made;
  }

  get #model() {
    return this.#moment.state.model;
  }

  /** What the small plots are of: it changes when they do. */
  get #slot(): number {
    const { sample } = this.#moment;
    const second = sample === undefined ? 0 : secondOf(sample.at);
    return second - (second % sparkStep);
  }

  sections(of: Parameters): ReadonlyMap<Section, string> {
    return of.page === 'overview' ? this.#overview(of) : this.#ofService(of);
  }

  /** What a stream begins with besides its sections; undefined if nothing is known yet, or nothing kept. */
  plots(of: Parameters): string | undefined {
    const { plots, sample } = this.#moment;
    const id = of.page === 'service' ? of.id : undefined;
    const second = sample === undefined ? Math.floor(Date.now() / 1000) : secondOf(sample.at);
    const made = plots.plots(second, id);
    return made && JSON.stringify(made);
  }

  /** With its second, from which on it is new. */
  point(of: Parameters): { readonly second: number; readonly text: string } | undefined {
    const { sample } = this.#moment;
    const point = sample && pointOf(sample, of.page === 'service' ? of.id : undefined);
    return point && { second: point.second, text: JSON.stringify(point) };
  }

  #overview(of: Parameters & { readonly page: 'overview' }): ReadonlyMap<Section, string> {
    const { sample, happenings } = this.#moment;
    const model = this.#model;
    const suffix = JSON.stringify(of.list);
    const events = happenings.list();
    const list = () => serviceList(model, sample, of.list);
    return new Map<Section, string>([
      ['head', this.#text('head', [], () => this.#head())],
      ['totals', this.#text('totals', [sample], () => totalsOf(sample))],
      ['attention', this.#text('attention', [model], () => attention(model))],
      ['services', this.#text(`services ${suffix}`, [model, sample], () => list().list)],
      ['workers', this.#text('workers', [sample], () => workerRows(sample))],
      ['verdicts', this.#text('verdicts', [sample], () => verdictRows(sample))],
      ['ports', this.#text('ports', [sample], () => portRows(sample))],
      ['events', this.#text('events', [events[0]], () => events)],
      ['changes', this.#text('changes', [model.revision], () => this.#changes())],
      ['sparks', this.#text(`sparks ${suffix}`, [model, this.#slot], () => this.#sparks(list().services))],
    ]);
  }

  #ofService(of: Parameters & { readonly page: 'service' }): ReadonlyMap<Section, string> {
    const { sample, happenings, servers, liveOf, everyS } = this.#moment;
    const service = this.#model.services.get(of.id);
    const head = ['head', this.#text('head', [], () => this.#head())] as const;
    if (service === undefined) return new Map<Section, string>([head, ['service', 'null']]);
    const counted = sample && servers.get(of.id);
    const suffix = JSON.stringify(of);
    const list = () => serverList({ service, counted, liveOf }, of.list, everyS(service));
    const events = happenings.list(of.id);
    return new Map<Section, string>([
      head,
      ['service', this.#text(`service ${of.id}`, [service, sample], () => detailOf(service, sample))],
      ['servers', this.#text(`servers ${suffix}`, [service, counted, everyS(service)], list)],
      ['events', this.#text(`events ${of.id}`, [events[0]], () => events)],
      ['changes', this.#text(`changes ${of.id}`, [this.#model.revision], () => this.#changes(of.id))],
      ['sparks', this.#text(`sparks ${suffix}`, [service, this.#slot], () => this.#serverSparks(of.id, list().rows))],
    ]);
  }

  #text(name: string, from: readonly unknown[], make: () => unknown): string {
    const known = this.#made.get(name) ?? this.#before.get(name);
    const isSame = known !== undefined && from.length > 0 && from.every((value, at) => value === known.from[at]);
    const made = isSame ? known : { from, text: JSON.stringify(make()) };
    this.#made.set(name, made);
    return made.text;
  }

  #head(): Head {
    const { state, status, startedAt, disagreements } = this.#moment;
    const { model, generation, lineage } = state;
    const { connected, lastError, generationApplied } = status;
    const dataplane = connected ? (this.#moment.sample?.state ?? status.state) : undefined;
    return {
      name: hostname(),
      version,
      startedAt,
      revision: revisionText(lineage, model.revision),
      services: model.services.size,
      servers: countServers(model),
      dataplane: {
        connected,
        error: lastError,
        pid: dataplane?.pid ?? 0,
        workers: dataplane?.workers ?? 0,
        memory: dataplane?.memory ?? '',
        dpdk: dataplane?.dpdkVersion ?? '',
        startedAt: this.#moment.sample?.startedAt ?? 0,
      },
      generation: { wanted: generation, applied: generationApplied },
      overloads: dataplane?.overloads.map(overloadText) ?? [],
      disagreements: disagreements.map(({ worker, difference }) => `worker ${worker}: ${difference}`),
    };
  }

  #changes(serviceId?: string): readonly Change[] {
    const { history, state } = this.#moment;
    const isMeant = ({ changes }: Past): boolean =>
      serviceId === undefined || changes.some((change) => `${change} `.includes(` ${serviceId} `));
    const known = history.filter((past) => past.time !== '' && isMeant(past)).slice(0, shownChanges);
    return known.map(({ model, time, identity, method, changes, count }) => ({
      revision: revisionText(state.lineage, model.revision),
      time,
      author: identity,
      method: method.split('/').at(-1) ?? method,
      changes: changes.slice(0, shownOperations),
      count,
    }));
  }

  #sparks(services: readonly Service[]): Sparks {
    const { plots } = this.#moment;
    const second = this.#slot;
    const ofServices = services.flatMap(({ key }) => {
      const spark = plots.serviceSpark(serviceId(key), second);
      return spark === undefined ? [] : [[formatServiceKey(key), spark] as const];
    });
    return {
      stepS: sparkStep,
      services: Object.fromEntries(ofServices),
      workers: plots.workerSparks(second),
      verdicts: plots.verdictSparks(second),
    };
  }

  #serverSparks(id: string, rows: readonly { readonly id: string }[]): Sparks {
    const ofServers = rows.flatMap((row) => {
      const spark = this.#moment.plots.serverSpark(id, row.id, this.#slot);
      return spark === undefined ? [] : [[row.id, spark] as const];
    });
    return { stepS: sparkStep, servers: Object.fromEntries(ofServers) };
  }
}

function overloadText({ worker, reason, family }: Overload__Output): string {
  const name = Object.keys(families).find((word) => families[word] === family);
  return `worker ${worker}: ${[reason, name].filter((part) => part !== undefined).join(', ')}`;
}

function totalsOf(sample: Sample | undefined): Totals | null {
  if (sample === undefined) return null;
  const { state, active, inactive, rates, dropped } = sample;
  const [connections, capacity] = [Number(state.connections), Number(state.connectionCapacity)];
  return { connections, capacity, active, inactive, rates, dropped };
}

function workerRows(sample: Sample | undefined): readonly WorkerRow[] {
  return (sample?.workers ?? []).map(({ worker, cpu, busy, received, handedOver, connections, capacity }) => ({
    worker,
    cpu,
    busy,
    received,
    handedOver,
    connections,
    capacity,
  }));
}

/** Those that there were packets of: losses first, then by their number. */
function verdictRows(sample: Sample | undefined): readonly VerdictRow[] {
  const rows = [...(sample?.verdicts ?? [])].filter(([, { packets }]) => packets > 0);
  return rows
    .map(([verdict, { packets, drop, rate }]): VerdictRow => {
      const { meaning = '', remedy = '' } = verdictMeanings[verdict] ?? {};
      return { verdict, drop, packets, rate, meaning, remedy };
    })
    .toSorted((left, right) => Number(right.drop) - Number(left.drop) || right.packets - left.packets);
}

function portRows(sample: Sample | undefined): readonly PortRow[] {
  return (sample?.ports ?? []).map(({ port, inBits, outBits, inPackets, outPackets }) => ({
    name: port.name,
    driver: port.driver,
    up: port.linkUp,
    speed: port.speedMbps,
    inBits,
    outBits,
    inPackets,
    outPackets,
    faults: [port.rxMissed, port.rxNoBuffer, port.rxErrors, port.txErrors].reduce((sum, of) => sum + Number(of), 0),
  }));
}

function detailOf(service: Service, sample: Sample | undefined): ServiceDetail {
  const counted = sample?.services.get(serviceId(service.key));
  return {
    row: serviceRow(service, sample),
    settings: settingsOf(service),
    counters: counted === undefined ? null : { ...counted.counted, refused: counted.refused },
  };
}
