// SPDX-License-Identifier: Apache-2.0

/** The product cannot do what an event asks for. */
export class NotAvailable extends Error {
  constructor(what: string) {
    super(`not available: ${what}`);
  }
}
