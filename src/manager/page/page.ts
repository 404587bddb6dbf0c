// SPDX-License-Identifier: Apache-2.0
// The status page's live half: who looks, and what they are sent. With each sample, and at once when something happens,
// everybody gets the sections that have changed for them. Nobody can hold up the manager: streams are few, and one that
// is not read is ended.
import type { ServerResponse } from 'node:http';
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { Logger } from '../../grpc/log.js';
import type { DataplaneClient } from '../dataplane_client.js';
import type { Past } from '../history/history.js';
import { type Answer, type Asked, type Streamed, text } from '../http/server.js';
import type { LiveOf } from '../messages.js';
import type { Service } from '../nouns.js';
import type { ReconcilerStatus } from '../reconciler.js';
import type { State } from '../state_file.js';
import type { Disagreement } from '../verify/verifier.js';
import { Frame } from './frame.js';
import { Happenings } from './happenings.js';
import { ParameterError, type Parameters, readParameters } from './parameters.js';
import { PlotStore } from './plots.js';
import { Sampler } from './sampler.js';
import { Viewer } from './viewer.js';

export interface StatusPageOptions {
  readonly state: () => State;
  readonly status: () => ReconcilerStatus;
  /** Throws while there is none. */
  readonly dataplane: () => DataplaneClient;
  /** Newest first. */
  readonly history: () => readonly Past[];
  readonly liveOf: LiveOf;
  readonly disagreements: () => readonly Disagreement[];
  /** Of the manager, milliseconds since 1970. */
  readonly startedAt: number;
  readonly log: Logger;
  readonly bounds?: Partial<ViewerBounds>;
}

export interface ViewerBounds {
  readonly streams: number;
  /** That a viewer may be behind. */
  readonly bytes: number;
}

/** A browser has six at most; a table of many services is some ten kilobytes. */
const defaultBounds: ViewerBounds = { streams: 16, bytes: 1024 * 1024 };
/** What happens together is told together. */
const gatherMs = 30;

/** Since the manager's start, and as of now. */
export interface StreamCounts {
  readonly open: number;
  readonly refused: number;
  readonly tooSlow: number;
}

export const noStreams: StreamCounts = { open: 0, refused: 0, tooSlow: 0 };

export class StatusPage {
  readonly #options: StatusPageOptions;
  readonly #bounds: ViewerBounds;
  readonly #plots = new PlotStore();
  readonly #happenings = new Happenings();
  readonly #sampler: Sampler;
  readonly #viewers = new Set<Viewer>();
  #frame: Frame | undefined;
  #refused = 0;
  #tooSlow = 0;
  #soon: NodeJS.Timeout | undefined;

  constructor(options: StatusPageOptions) {
    this.#options = options;
    this.#bounds = { ...defaultBounds, ...options.bounds };
    this.#sampler = new Sampler({
      dataplane: options.dataplane,
      model: () => options.state().model,
      plots: this.#plots,
      watched: () => (this.#viewers.size === 0 ? undefined : this.#watchedServices()),
      onSample: () => this.#tellAll(),
    });
  }

  get counts(): StreamCounts {
    return { open: this.#viewers.size, refused: this.#refused, tooSlow: this.#tooSlow };
  }

  start(): void {
    this.#sampler.start();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#soon);
    for (const viewer of this.#viewers) viewer.end();
    await this.#sampler.stop();
  }

  /** An event: viewers see it at once, and what it changed. */
  note(event: Event): void {
    this.#happenings.add(event);
    this.changed();
  }

  /** The model, or what is known of the dataplane, is another one. */
  changed(): void {
    if (this.#viewers.size === 0) return;
    this.#soon ??= setTimeout(() => this.#tellAll(), gatherMs);
  }

  /** The answer to who asks for a stream. */
  stream({ query }: Asked): Answer | Streamed {
    let parameters: Parameters;
    try {
      parameters = readParameters(query);
    } catch (error) {
      if (error instanceof ParameterError) return text(400, error.message);
      throw error;
    }
    if (this.#viewers.size >= this.#bounds.streams) {
      this.#refused++;
      return text(503, `${this.#bounds.streams} pages are open already: close one, or try again later`);
    }
    const headers = { 'x-accel-buffering': 'no' };
    return { status: 200, type: 'text/event-stream', headers, stream: (response) => this.#begin(parameters, response) };
  }

  #begin(parameters: Parameters, response: ServerResponse): void {
    const viewer = new Viewer(parameters, response, this.#bounds.bytes);
    this.#viewers.add(viewer);
    response.on('close', () => this.#viewers.delete(viewer));
    this.#tell(viewer, this.#newFrame());
    this.#sampler.hurry();
  }

  #tellAll(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    if (this.#viewers.size === 0) return;
    const frame = this.#newFrame();
    for (const viewer of this.#viewers) this.#tell(viewer, frame);
  }

  #tell(viewer: Viewer, frame: Frame): void {
    if (viewer.tell(frame)) return;
    this.#tooSlow++;
    this.#viewers.delete(viewer);
    this.#options.log.warn({ streams: this.#viewers.size }, 'a status page did not read what it was sent: ended');
  }

  #newFrame(): Frame {
    const { state, status, history, liveOf, disagreements, startedAt } = this.#options;
    const moment = {
      state: state(),
      status: status(),
      sample: status().connected ? this.#sampler.sample : undefined,
      servers: this.#sampler.servers,
      everyS: (service: Service) => this.#sampler.everyS(service),
      plots: this.#plots,
      happenings: this.#happenings,
      history: history(),
      liveOf,
      disagreements: disagreements(),
      startedAt,
    };
    this.#frame = new Frame(moment, this.#frame);
    return this.#frame;
  }

  #watchedServices(): ReadonlySet<string> {
    return new Set(
      [...this.#viewers].flatMap(({ parameters }) => (parameters.page === 'service' ? parameters.id : [])),
    );
  }
}
