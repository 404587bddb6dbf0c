// SPDX-License-Identifier: Apache-2.0
// NumberSource: a number in what HTTP or HTTPS answers, by JSON pointer or as a sample of Prometheus's text format.
import type { NumberSource__Output } from '../../generated/fulcrum/v1/NumberSource.js';
import { joinPath, quote } from '../../grpc/errors.js';
import { prepareHttpQuestion } from '../health/checks/http.js';
import { invalid } from '../health/fields.js';
import { numberAt, readPointer } from './json_pointer.js';
import { numberOf, readSelector } from './prometheus.js';
import type { Ask } from './source.js';

const longestAnswer = 4 * 1024 * 1024;

interface Format {
  /** As it is named to the operator. */
  readonly name: string;
  /** The number, or why there is none. */
  readonly read: (body: string) => number | string;
}

export function prepareNumber(source: NumberSource__Output, path: string): Ask {
  const { name, read } = readFormat(source, path);
  const ask = prepareHttpQuestion({ ...source, method: 'GET', http_1_0: false }, path);
  return async (target, timeoutMs, signal, hear) => {
    let number: number | undefined;
    const test = (body: Buffer): string | undefined => {
      const found = body.length >= longestAnswer ? `answer of ${longestAnswer} bytes or more` : read(body.toString());
      if (typeof found === 'string') return found;
      number = found;
      return undefined;
    };
    const expected = {
      status: [{ first: 200, last: 200 }],
      bodyTests: [test],
      searchedBytes: longestAnswer,
      md5: false,
    };
    const result = await ask(target, timeoutMs, signal, expected);
    if (result.ok && number !== undefined) hear({ kind: 'number', number, text: `${name} ${number}` });
    return result;
  };
}

function readFormat(source: NumberSource__Output, path: string): Format {
  if (source.format === 'jsonPointer') {
    const text = source.jsonPointer ?? '';
    const pointer = readPointer(text);
    if (pointer !== undefined) return { name: text || 'document', read: (body) => numberAt(body, pointer) };
    throw invalid(joinPath(path, 'json_pointer'), `${quote(text)} is not a JSON pointer such as "/load/0"`);
  }
  if (source.format === 'prometheusMetric') {
    const text = source.prometheusMetric ?? '';
    const selector = readSelector(text);
    if (selector !== undefined) return { name: text.trim(), read: (body) => numberOf(body, selector) };
    const message = `${quote(text)} is not a metric such as 'node_load1' or 'busy_workers{pool="web"}'`;
    throw invalid(joinPath(path, 'prometheus_metric'), message);
  }
  throw invalid(path, 'must have a format: json_pointer or prometheus_metric');
}
