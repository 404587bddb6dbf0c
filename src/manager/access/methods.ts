// SPDX-License-Identifier: Apache-2.0
// Which role a method needs at least. An edit may need more, by what it does: see operation_role.ts.
import type { DirectorServiceDefinition } from '../../generated/fulcrum/v1/DirectorService.js';
import type { Role } from '../../grpc/caller.js';

type NameOf<K> = string extends K ? never : K;
export type DirectorMethod = keyof { [K in keyof DirectorServiceDefinition as NameOf<K>]: unknown };

/** Every method of fulcrum.v1.DirectorService: one without a role does not compile. */
export const directorMethodRoles = {
  GetVirtualService: 'read',
  ListVirtualServices: 'read',
  CreateVirtualService: 'admin',
  UpdateVirtualService: 'admin',
  DeleteVirtualService: 'admin',
  GetRealServer: 'read',
  ListRealServers: 'read',
  CreateRealServer: 'admin',
  UpdateRealServer: 'operate',
  DeleteRealServer: 'admin',
  ListVips: 'read',
  SetVip: 'admin',
  DeleteVip: 'admin',
  Apply: 'operate',
  // Does nothing.
  Plan: 'read',
  ListRevisions: 'read',
  CompareRevisions: 'read',
  GetConfiguration: 'read',
  Watch: 'read',
  ListConnections: 'read',
  DeleteConnections: 'operate',
  Explain: 'read',
  // Shows what is in clients' packets.
  Trace: 'operate',
  WatchDrain: 'read',
  GetStatistics: 'read',
  ListNeighbors: 'read',
  ListPorts: 'read',
  ListRoutes: 'read',
  GetTimeouts: 'read',
  GetTunables: 'read',
  SetTunables: 'admin',
  GetMarkRules: 'read',
  SetMarkRules: 'admin',
  ListPrefixLists: 'read',
  GetStatus: 'read',
} as const satisfies Readonly<Record<DirectorMethod, Role>>;

const standardMethodRoles: Readonly<Record<string, Role>> = {
  '/grpc.health.v1.Health/Check': 'read',
  '/grpc.health.v1.Health/Watch': 'read',
  '/grpc.health.v1.Health/List': 'read',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'read',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'read',
};

const byPath = new Map<string, Role>([
  ...Object.entries(directorMethodRoles).map(([name, role]) => [`/fulcrum.v1.DirectorService/${name}`, role] as const),
  ...Object.entries(standardMethodRoles),
]);

/** Of a method by its path, "/fulcrum.v1.DirectorService/Apply"; undefined of one that is not known. */
export function roleForMethod(path: string): Role | undefined {
  return byPath.get(path);
}
