import type { Command } from 'commander';
import type { Cli } from './cli.js';
export function register(_p: Command, _c: Cli): void {}
