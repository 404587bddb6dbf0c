// SPDX-License-Identifier: Apache-2.0
// Who has which role, by the names in a client's certificate: a YAML file with a list of names for each role.
import { ConfigurationError, type Document, type Problem, readDocument } from '../../config/document.js';
import { type Role, roles } from '../../grpc/caller.js';
import type { CertificateNames } from '../../grpc/tcp/certificate_names.js';

type RolesDocument = { readonly [role in Role]?: readonly string[] };

export type RoleOf = (names: CertificateNames) => Role | undefined;

const names = {
  type: 'array',
  items: {
    type: 'string',
    pattern: '^(?:\\*\\.)?[^\\s*]+$',
    description: 'a name as in a certificate, or "*." and what names end with',
  },
};
const schema = {
  type: 'object',
  additionalProperties: false,
  properties: Object.fromEntries(roles.map((role) => [role, names])),
};

/** Throws ConfigurationError. */
export function parseRoles(text: string, file: string): RoleOf {
  // An empty file gives nobody a role.
  const document = readDocument<RolesDocument | null>(text.trim() === '' ? '{}' : text, file, schema);
  const problems = repeatedNames(document);
  if (problems.length > 0) throw new ConfigurationError(problems);
  const matchers = roles.toReversed().map((role) => ({ role, matches: (document.value?.[role] ?? []).map(matcherOf) }));
  return (client) => matchers.find(({ matches }) => matches.some((isMatch) => isMatch(client)))?.role;
}

function repeatedNames(document: Document<RolesDocument | null>): readonly Problem[] {
  const roleOf = new Map<string, Role>();
  return roles.flatMap((role) =>
    (document.value?.[role] ?? []).flatMap((name, index) => {
      const other = roleOf.get(name);
      roleOf.set(name, role);
      return other === undefined ? [] : [document.problem([role, index], `"${name}" has the role ${other} already`)];
    }),
  );
}

function matcherOf(pattern: string): (client: CertificateNames) => boolean {
  const isNamed = pattern.startsWith('*.')
    ? (name: string) => name.endsWith(pattern.slice(1)) && name.length >= pattern.length
    : (name: string) => name === pattern;
  const isDnsNamed = (name: string): boolean =>
    pattern.startsWith('*.')
      ? name.endsWith(pattern.slice(1).toLowerCase()) && name.length >= pattern.length
      : name === pattern.toLowerCase();
  return ({ commonName, dnsNames }) => (commonName !== undefined && isNamed(commonName)) || dnsNames.some(isDnsNamed);
}
