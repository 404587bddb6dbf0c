// SPDX-License-Identifier: Apache-2.0
// Certificates of the API: readable, in force, not soon at their end.
import { X509Certificate } from 'node:crypto';
import { type Finding, ok, problem, warning } from '../finding.js';

const soonDays = 30;
const dayMs = 86_400_000;

export function checkCertificate(path: string, text: string | undefined, now: number): Finding {
  const subject = `certificate ${path}`;
  const why = 'clients of the API over TCP are refused';
  const parsed = parse(text);
  if (parsed === undefined)
    return problem(subject, 'cannot be read as PEM', why, 'is it the certificate, not the key?');
  const days = Math.floor((Date.parse(parsed.validTo) - now) / dayMs);
  if (Date.parse(parsed.validFrom) > now)
    return problem(subject, `not valid before ${parsed.validFrom}`, why, 'the clock? date');
  if (days < 0) return problem(subject, `expired on ${parsed.validTo}`, why, 'a new one; it is read again by itself');
  const found = `valid for ${days} more days`;
  return days < soonDays ? warning(subject, found, `then ${why}`, 'renew it') : ok(subject, found);
}

function parse(text: string | undefined): X509Certificate | undefined {
  try {
    return text === undefined ? undefined : new X509Certificate(text);
  } catch {
    return undefined;
  }
}
