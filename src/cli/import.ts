// SPDX-License-Identifier: Apache-2.0
// fulcrum import: the configuration of keepalived or ldirectord as a file that config apply reads.
import type { Command } from 'commander';
import { ConfigurationError } from '../config/document.js';
import { fileText } from '../config/text.js';
import { UnreadableFile } from '../import/files.js';
import type { Import } from '../import/finish.js';
import { importKeepalived } from '../import/keepalived/import.js';
import { importLdirectord } from '../import/ldirectord/import.js';
import { formatWarning } from '../import/source.js';
import { type Cli, globalOptions } from './cli.js';
import { CommandError, exitCodes } from './exit_codes.js';
import { jsonText } from './output.js';

export function register(program: Command, cli: Cli): void {
  const command = program
    .command('import')
    .description("keepalived's or ldirectord's configuration as a file for config apply")
    .addHelpText('after', help);
  command
    .command('keepalived <file>')
    .description('print the virtual servers of a keepalived.conf as YAML')
    .option('--id <id>', 'configuration id for lines that begin with @ID (default: host name up to the first dot)')
    .addHelpText('after', keepalivedHelp)
    .action((file: string, options: { readonly id?: string }, self: Command) =>
      run(cli, self, () => importKeepalived(file, options.id)),
    );
  command
    .command('ldirectord <file>')
    .description('print the virtual services of an ldirectord.cf as YAML')
    .addHelpText('after', ldirectordHelp)
    .action((file: string, _: unknown, self: Command) => run(cli, self, () => importLdirectord(file)));
}

const help = `
The file is only read: nothing is sent to a director. Standard output has the services part of a configuration, as
"fulcrum config apply" and "fulcrum up" read it; with -o json {"configuration": …, "warnings": […]}. Standard error
has a line "FILE:LINE: …" for all that has no equivalent here, and for all that the other program would have corrected.

Exit status 0, also with warnings; 2 if the file cannot be read or parsed (FILE:LINE:COLUMN: reason).

Examples:
  fulcrum import keepalived /etc/keepalived/keepalived.conf > services.yaml
  fulcrum config diff -f services.yaml
  fulcrum config apply -f services.yaml --dry-run
  fulcrum import ldirectord /etc/ha.d/ldirectord.cf -o json | jq .warnings`;

const keepalivedHelp = `
What is read: include (with patterns, nested), @ID and @^ID lines, definitions ($NAME=, also of several lines), ~SEQ,
global_defs (lvs_timeouts), SSL, virtual_server_group, virtual_server (address, fwmark, group) and real_server with what
they hand down, and the checkers TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, DNS_CHECK, UDP_CHECK, PING_CHECK, MISC_CHECK.

  keepalived                      here
  delay_loop                      interval (60 s if not written)
  connect_timeout, misc_timeout   timeout
  retry N                         fall N+1 (retry is 1 if not written, 3 for DNS_CHECK, 0 for MISC_CHECK)
  delay_before_retry              retry_interval (1 s; HTTP_GET and SSL_GET 3 s)
  warmup                          warmup
  alpha, omega, inhibit_on_failure, quorum, hysteresis, quorum_up, quorum_down, sorry_server, notify_up, notify_down
                                  the same names
  misc_dynamic                    dynamic_weight
  weight, uthreshold, lthreshold  weight, upper_threshold, lower_threshold
  lvs_timeouts                    timeouts

Every entry of a virtual_server_group, and every address of a range, becomes a service. Defaults and corrections are
keepalived's: without protocol UDP, without lvs_method NAT, ports only with NAT, quorum not above the sum of weights.
Not taken over: VRRP, BFD, mail, SNMP, connection synchronisation, checks of files.`;

const ldirectordHelp = `
What is read: virtual services with real (ranges, weights, thresholds, request and receive), fallback, scheduler,
persistent, netmask, protocol, service, checktype, checkport, request, receive, virtualhost, httpmethod, checkcommand
and the times; also when they are written for all.

  ldirectord                      here
  checkinterval                   interval (10 s if not written)
  checktimeout, negotiatetimeout  timeout of a connect, or of a question and answer (5 s, 30 s)
  failurecount                    fall
  quiescent                       inhibit_on_failure (yes if not written)
  fallback                        sorry_server
  fallbackcommand                 quorum_down, quorum_up (with "start" and "stop")
  checktype negotiate             http, https, smtp or dns by service; tcp, with a warning, for others
  checktype connect, ping, external
                                  tcp (udp), ping, command

Servers begin as down (alpha), as ldirectord has them. Hosts are addresses: names are not looked up.`;

async function run(cli: Cli, command: Command, read: () => Import): Promise<void> {
  try {
    const result = read();
    if (globalOptions(command).output === 'json') {
      await cli.write(`${jsonText(JSON.parse(JSON.stringify(result)), 2)}\n`);
      return;
    }
    for (const warning of result.warnings) cli.complain(formatWarning(warning));
    await cli.write(fileText(result.configuration));
  } catch (error) {
    if (error instanceof UnreadableFile) throw new CommandError(error.message, exitCodes.usage);
    if (!(error instanceof ConfigurationError)) throw error;
    cli.complain(error.message);
    cli.setExitCode(exitCodes.usage);
  }
}
