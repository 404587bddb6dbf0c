// SPDX-License-Identifier: Apache-2.0
// Blocks beside the virtual servers: global_defs with its timeouts, SSL, and what keepalived does that the director does
// not, each with what to do instead.
import type { TlsEntry } from '../../config/health_check.js';
import { parseDecimal } from '../../config/keys.js';
import { largestTimeout, type TimeoutsEntry } from '../../config/timeouts.js';
import type { Warn } from '../source.js';
import { mailAdvice, snmpAdvice } from './advice.js';
import type { Statement } from './blocks.js';
import type { Writable } from './settings.js';
import { readBlock, wordOf } from './values.js';

const every = (keywords: string, advice: string): Readonly<Record<string, string>> =>
  Object.fromEntries(keywords.split(' ').map((keyword) => [keyword, advice]));

const globalAdvice: Readonly<Record<string, string>> = {
  ...every(
    'notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert smtp_alert_checker smtp_alert_vrrp no_email_faults email_faults no_checker_emails',
    mailAdvice,
  ),
  ...every('router_id lvs_id', "names keepalived's mail; not needed"),
  ...every('lvs_sync_daemon lvs_sync_daemon_interface', 'connection synchronisation is not available yet'),
  ...every('lvs_flush', '"fulcrum config apply --prune" removes what the file does not name'),
  ...every(
    'lvs_flush_on_stop lvs_flush_onstop',
    'services stay until they are deleted, also while the director is restarted',
  ),
  ...every(
    'lvs_notify_fifo lvs_notify_fifo_script notify_fifo notify_fifo_script',
    'every change is an event: fulcrum watch -o json',
  ),
  ...every('checker_log_all_failures rs_init_notifies', 'every change of state is an event: fulcrum watch'),
  ...every('script_user enable_script_security', 'scripts and commands run as the user of the manager'),
  ...every(
    'nftables nftables_ipvs nftables_priority nftables_counters nftables_ifindex iptables',
    'the director has no netfilter; its mark rules are its own',
  ),
  ...every(
    'enable_snmp_keepalived enable_snmp_checker enable_snmp_vrrp enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps snmp_socket',
    snmpAdvice,
  ),
  ...every(
    'vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat vrrp_garp_interval vrrp_gna_interval vrrp_strict vrrp_version vrrp_iptables vrrp_ipsets vrrp_check_unicast_src vrrp_skip_check_adv_addr vrrp_mcast_group4 vrrp_mcast_group6 vrrp_notify_fifo vrrp_notify_fifo_script vrrp_higher_prio_send_advert vrrp_min_garp default_interface dynamic_interfaces disable_local_igmp',
    'the director has no VRRP',
  ),
  ...every(
    'process_names vrrp_process_name checker_process_name bfd_process_name use_pid_dir use_symlink_paths child_wait_time max_auto_priority min_auto_priority_delay checker_priority vrrp_priority bfd_priority checker_no_swap vrrp_no_swap bfd_no_swap checker_rt_priority vrrp_rt_priority bfd_rt_priority checker_rlimit_rttime vrrp_rlimit_rttime bfd_rlimit_rttime checker_cpu_affinity vrrp_cpu_affinity bfd_cpu_affinity vrrp_netlink_cmd_rcv_bufs vrrp_netlink_monitor_rcv_bufs process_monitor_rcv_bufs process_monitor_rcv_bufs_force lvs_netlink_cmd_rcv_bufs lvs_netlink_monitor_rcv_bufs umask net_namespace net_namespace_ipvs instance namespace_with_ipsets reload_file reload_time_file shutdown_script startup_script startup_script_timeout shutdown_script_timeout config_save_dir tmp_config_directory random_seed json_version data_use_instance',
    'a setting of the keepalived process',
  ),
};

/** Blocks at the top that have no equivalent. */
export const topAdvice: Readonly<Record<string, string>> = {
  ...every(
    'vrrp_sync_group vrrp_script vrrp_track_process vrrp_track_file track_file',
    'the director has no VRRP; leave it to keepalived',
  ),
  ...every('bfd_instance', 'the director has no BFD'),
  ...every(
    'static_ipaddress static_routes static_rules static_track_group',
    "write addresses and routes under ports: and routes: of the director's own file",
  ),
  ...every(
    'linkbeat_interfaces linkbeat_use_polling garp_group',
    'the director watches the links of its ports by itself',
  ),
  ...every('net_namespace net_namespace_ipvs instance use_pid_dir', 'a setting of the keepalived process'),
};

/** global_defs: timeouts are taken over. */
export function readGlobals(statement: Statement, warn: Warn): TimeoutsEntry | undefined {
  let timeouts: TimeoutsEntry | undefined;
  const handlers = {
    lvs_timeouts: (one: Statement) => {
      timeouts = { ...timeouts, ...timeoutsOf(one, warn) };
    },
  };
  readBlock(statement.body ?? [], { handlers, advice: globalAdvice, where: 'global_defs' }, warn);
  return timeouts;
}

const timeoutNames: ReadonlyMap<string, string> = new Map([
  ['tcp', 'tcp'],
  ['tcpfin', 'tcp_fin'],
  ['udp', 'udp'],
]);

/** "tcp N tcpfin N udp N", each of them optional. */
function timeoutsOf({ words, place }: Statement, warn: Warn): TimeoutsEntry {
  const timeouts: Record<string, number> = {};
  for (let at = 0; at < words.length; at += 2) {
    const name = timeoutNames.get(words[at]?.text ?? '');
    const value = parseDecimal(words[at + 1]?.text ?? '', 1, largestTimeout);
    if (name !== undefined && value !== undefined) timeouts[name] = value;
    else
      warn(
        place,
        `lvs_timeouts "${words
          .slice(at, at + 2)
          .map(({ text }) => text)
          .join(' ')}" is not tcp, tcpfin or udp with seconds up to ${largestTimeout}; ignored`,
      );
  }
  return timeouts;
}

/** SSL: files for every SSL_GET. */
export function readSsl(statement: Statement, warn: Warn): TlsEntry {
  const tls: Writable<TlsEntry> = {};
  const file = (name: 'ca_file' | 'certificate_file' | 'key_file') => (one: Statement) => {
    const path = wordOf(one);
    if (path !== undefined) tls[name] = path;
  };
  const handlers = { ca: file('ca_file'), certificate: file('certificate_file'), key: file('key_file') };
  const advice = { password: 'a key with a password cannot be used; store it without one' };
  readBlock(statement.body ?? [], { handlers, advice, where: 'SSL' }, warn);
  return tls;
}

/** What is lost with a vrrp_instance, in one line. */
export function tellVrrpInstance({ words, body = [], place }: Statement, warn: Warn): void {
  const value = (keyword: string): string | undefined => body.find((one) => one.keyword === keyword)?.words[0]?.text;
  const addresses = body
    .filter(({ keyword }) => keyword.startsWith('virtual_ipaddress'))
    .flatMap((block) => (block.body ?? []).map(({ keyword }) => keyword));
  const details = [
    `virtual_router_id ${value('virtual_router_id') ?? 'missing'}`,
    `priority ${value('priority') ?? '100'}`,
    `addresses ${addresses.join(', ') || 'none'}`,
  ];
  warn(
    place,
    `vrrp_instance ${words[0]?.text ?? ''} (${details.join('; ')}): the director has no VRRP; leave it to keepalived, and let notify_master and notify_backup call "fulcrum vip activate" and "fulcrum vip standby"`,
  );
}
