// SPDX-License-Identifier: Apache-2.0
// The manager serves the library beside the page's own modules.
export { default } from 'uplot';
