// SPDX-License-Identifier: Apache-2.0
// What to do instead of what keepalived has in several places and the director not at all.

export const mailAdvice =
  'no mail is sent; notify_up, notify_down, quorum_up and quorum_down can, and "fulcrum watch" tells every change';
export const snmpAdvice = 'there is no SNMP agent; "fulcrum stats -o json" and the API have the counters';
