// SPDX-License-Identifier: Apache-2.0
#include "net/reassembly.h"

#include <bit>
#include <new>

#include "net/chain.h"
#include "net/fragment_limit.h"
#include "net/owner.h"
#include "net/siphash.h"

namespace fulcrum {

namespace {

constexpr uint8_t kEcnMask = 0x03, kNotEct = 0, kCe = 3;

uint32_t cost_of(const rte_mbuf* packet) {
  uint32_t bytes = 0;
  for (; packet != nullptr; packet = packet->next) bytes += packet->buf_len + static_cast<uint32_t>(sizeof(rte_mbuf));
  return bytes;
}

// The packet begins `bytes` later; its first buffer holds them all.
void skip(rte_mbuf* packet, unsigned bytes) {
  packet->data_off = static_cast<uint16_t>(packet->data_off + bytes);
  packet->data_len = static_cast<uint16_t>(packet->data_len - bytes);
  packet->pkt_len -= bytes;
}

// Moves what follows into the first buffer until that holds `wanted` bytes of the packet, or all of it.
bool gather(rte_mbuf* packet, unsigned wanted) {
  wanted = std::min(wanted, packet->pkt_len);
  if (packet->data_len >= wanted) return true;
  const unsigned missing = wanted - packet->data_len;
  if (rte_pktmbuf_tailroom(packet) < missing) {
    if (packet->buf_len < wanted) return false;
    std::memmove(packet->buf_addr, rte_pktmbuf_mtod(packet, uint8_t*), packet->data_len);
    packet->data_off = 0;
  }
  while (packet->data_len < wanted) {
    rte_mbuf* next = packet->next;
    const auto part = static_cast<uint16_t>(std::min<unsigned>(wanted - packet->data_len, next->data_len));
    std::memcpy(rte_pktmbuf_mtod_offset(packet, uint8_t*, packet->data_len), rte_pktmbuf_mtod(next, uint8_t*), part);
    packet->data_len = static_cast<uint16_t>(packet->data_len + part);
    next->data_off = static_cast<uint16_t>(next->data_off + part);
    next->data_len = static_cast<uint16_t>(next->data_len - part);
    if (next->data_len != 0) continue;
    packet->next = next->next;
    --packet->nb_segs;
    rte_pktmbuf_free_seg(next);
  }
  return true;
}

// What stands before the Fragment header moves up to what stands behind it.
void remove_fragment_header(rte_mbuf* packet, unsigned ip_at, unsigned header_at, unsigned next_header_at) {
  uint8_t* start = rte_pktmbuf_mtod(packet, uint8_t*);
  uint8_t* ip = start + ip_at;
  ip[next_header_at] = ip[header_at];
  auto& length = reinterpret_cast<Ipv6Header*>(ip)->payload_length;
  length = be16::from_host(static_cast<uint16_t>(length.host() - kIpv6FragmentBytes));
  std::memmove(start + kIpv6FragmentBytes, start, ip_at + header_at);
  skip(packet, kIpv6FragmentBytes);
}

// RFC 3168 section 5.3: congestion met by one fragment was met by the datagram; fragments that disagree whether the
// sender knows of ECN did not come from one packet.
bool ecn_is_consistent(uint8_t seen) { return seen == 1u << kNotEct || (seen & 1u << kNotEct) == 0; }
bool ecn_has_congestion(uint8_t seen) { return (seen & 1u << kCe) != 0; }

template <typename T>
std::unique_ptr<T[]> allocate(uint32_t count) {
  return std::unique_ptr<T[]>(new (std::nothrow) T[count]);
}

}  // namespace

unsigned Reassembler::Fragment::header_bytes() const {
  return key.family == Family::kIpv4 ? payload_at : fragment_header_at;
}

bool Reassembler::create(const ReassemblySettings& settings) {
  clear();
  if (settings.source_share == 0) return false;
  settings_ = settings;
  most_bytes_ = settings.memory_bytes;
  // All that is held costs kLeastCharge at least, so there is always one free of each.
  capacity_ = static_cast<uint32_t>(settings.memory_bytes / kLeastCharge) + 1;
  const uint32_t buckets = std::bit_ceil(capacity_);
  bucket_mask_ = buckets - 1;
  buckets_ = allocate<Index>(buckets);
  source_buckets_ = allocate<Index>(buckets);
  pieces_ = allocate<Piece>(capacity_);
  datagrams_ = allocate<Datagram>(capacity_);
  sources_ = allocate<Source>(capacity_);
  if (!buckets_ || !source_buckets_ || !pieces_ || !datagrams_ || !sources_) return false;
  std::fill_n(buckets_.get(), buckets, kNone);
  std::fill_n(source_buckets_.get(), buckets, kNone);
  for (Index i = 0; i < capacity_; ++i) {
    const Index next = i + 1 < capacity_ ? i + 1 : kNone;
    pieces_[i].next = next;
    datagrams_[i].next_in_bucket = next;
    sources_[i].next_in_bucket = next;
  }
  free_piece_ = free_datagram_ = free_source_ = 0;
  ages_ = {};
  return true;
}

void Reassembler::tune(uint64_t memory_bytes, Ticks ipv4_timeout, Ticks ipv6_timeout) {
  settings_.memory_bytes = std::min(memory_bytes, most_bytes_);
  settings_.ipv4_timeout = ipv4_timeout;
  settings_.ipv6_timeout = ipv6_timeout;
}

bool Reassembler::parse_ipv4(const uint8_t* ip, unsigned have, unsigned whole, Fragment& fragment) {
  if (have < kIpv4Bytes) return false;
  const auto header = load_unaligned<Ipv4Header>(ip);
  const unsigned header_bytes = header.header_bytes(), total = header.total_length.host();
  if (header_bytes < kIpv4Bytes || have < header_bytes || total < header_bytes || whole < total) return false;
  const uint16_t word = header.fragment.host();
  fragment.key.source.high = header.source.raw;
  fragment.key.destination.high = header.destination.raw;
  fragment.key.id = header.id.raw;
  fragment.key.protocol = header.protocol;
  fragment.key.family = Family::kIpv4;
  fragment.offset = (word & kIpv4OffsetMask) * 8u;
  fragment.length = total - header_bytes;
  fragment.payload_at = static_cast<uint16_t>(header_bytes);
  fragment.ip_length = static_cast<uint16_t>(total);
  fragment.ecn = header.tos & kEcnMask;
  fragment.more = (word & kIpv4MoreFragments) != 0;
  fragment.dont_fragment = (word & kIpv4DontFragment) != 0;
  fragment.is_fragment = fragment.more || fragment.offset != 0;
  return true;
}

// Before a Fragment header may stand those that routers on the way look at (RFC 8200 section 4.5).
bool Reassembler::parse_ipv6(const uint8_t* ip, unsigned have, unsigned whole, Fragment& fragment) {
  if (have < kIpv6Bytes) return false;
  const auto header = load_unaligned<Ipv6Header>(ip);
  const unsigned total = header.total_length();
  // An IP length of more than 16 bits is a malformed fragment, if a long packet.
  if (whole < total || total > 0xffff) return false;
  const unsigned limit = std::min(have, total);
  unsigned at = kIpv6Bytes, next_header_at = 6;
  auto next = static_cast<IpProtocol>(header.next_header);
  while (next == IpProtocol::kHopByHop || next == IpProtocol::kRouting || next == IpProtocol::kDestinationOptions) {
    if (limit < at + sizeof(Ipv6ExtensionHeader)) return false;
    const auto extension = load_unaligned<Ipv6ExtensionHeader>(ip + at);
    next_header_at = at;
    at += extension.header_bytes();
    next = static_cast<IpProtocol>(extension.next_header);
  }
  fragment.key.family = Family::kIpv6;
  if (next != IpProtocol::kFragment) return true;
  if (limit < at + kIpv6FragmentBytes) return false;
  const auto cut = load_unaligned<Ipv6FragmentHeader>(ip + at);
  const uint16_t word = cut.offset_more.host();
  fragment.key.source = header.source;
  fragment.key.destination = header.destination;
  fragment.key.id = cut.id.raw;
  fragment.offset = word & kIpv6OffsetMask;
  fragment.fragment_header_at = static_cast<uint16_t>(at);
  fragment.next_header_at = static_cast<uint16_t>(next_header_at);
  fragment.payload_at = static_cast<uint16_t>(at + kIpv6FragmentBytes);
  fragment.length = total - fragment.payload_at;
  fragment.ip_length = static_cast<uint16_t>(total);
  fragment.ecn = header.traffic_class() & kEcnMask;
  fragment.more = (word & kIpv6MoreFragments) != 0;
  fragment.is_fragment = true;
  // All headers are in the first fragment (RFC 8200 section 4.5, RFC 7112).
  const bool is_tcp = static_cast<IpProtocol>(cut.next_header) == IpProtocol::kTcp;
  return !is_tcp || fragment.offset != 0 || fragment.length >= sizeof(TcpHeader);
}

bool Reassembler::parse(const rte_mbuf* packet, const uint8_t* ip, Fragment& fragment) {
  const auto before = static_cast<unsigned>(ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  if (before >= packet->data_len) return false;
  const unsigned have = packet->data_len - before, whole = packet->pkt_len - before;
  const bool is_ipv4 = *ip >> 4 == 4;
  if (!(is_ipv4 ? parse_ipv4(ip, have, whole, fragment) : parse_ipv6(ip, have, whole, fragment))) return false;
  if (!fragment.is_fragment) return true;
  // An atomic fragment may be empty, as a datagram may.
  if (fragment.length == 0 && (fragment.more || fragment.offset != 0)) return false;
  if (fragment.more && fragment.length % 8 != 0) return false;
  const unsigned counted = fragment.header_bytes() - (is_ipv4 ? 0 : kIpv6Bytes);
  return counted + fragment.end() <= 0xffff;
}

uint32_t Reassembler::home_hash(const rte_mbuf* packet, const uint8_t* ip) {
  Fragment fragment;
  if (!parse(packet, ip, fragment)) return 0;
  const Key& key = fragment.key;
  uint64_t mixed = mix64(uint64_t{key.id} << 8 | key.protocol);
  for (const uint64_t word : {key.source.high, key.source.low, key.destination.high, key.destination.low})
    mixed = mix64(mixed ^ word);
  return static_cast<uint32_t>(mixed >> 32);
}

uint32_t Reassembler::hash(const Key& key) const {
  SipState state(settings_.secret_first, settings_.secret_second);
  if (key.family == Family::kIpv4) {
    state.compress(key.source.high << 32 | (key.destination.high & 0xffffffff), 1);
  } else {
    for (const uint64_t word : {key.source.high, key.source.low, key.destination.high, key.destination.low})
      state.compress(word, 1);
  }
  state.compress(uint64_t{key.link} << 32 | key.id, 1);
  state.compress(uint64_t{static_cast<uint8_t>(key.family)} << 8 | key.protocol, 1);
  return static_cast<uint32_t>(state.finish(3)) & bucket_mask_;
}

uint32_t Reassembler::hash_of_source(const Ipv6Address& address, Family family) const {
  SipState state(settings_.secret_first, settings_.secret_second);
  state.compress(address.high, 1);
  state.compress(static_cast<uint64_t>(family), 1);
  return static_cast<uint32_t>(state.finish(3)) & bucket_mask_;
}

Ipv6Address Reassembler::source_address(const Key& key) { return {key.source.high, 0}; }

Reassembler::Index Reassembler::find(const Key& key, uint32_t bucket) const {
  Index at = buckets_[bucket];
  while (at != kNone && !(datagrams_[at].key == key)) at = datagrams_[at].next_in_bucket;
  return at;
}

Reassembler::Index Reassembler::find_source(const Key& key) const {
  const Ipv6Address address = source_address(key);
  Index at = source_buckets_[hash_of_source(address, key.family)];
  while (at != kNone && !(sources_[at].address == address && sources_[at].family == key.family))
    at = sources_[at].next_in_bucket;
  return at;
}

Reassembler::Index Reassembler::source_for(const Key& key) {
  if (const Index known = find_source(key); known != kNone) return known;
  const Index fresh = free_source_;
  Source& source = sources_[fresh];
  free_source_ = source.next_in_bucket;
  source = {};
  source.address = source_address(key);
  source.family = key.family;
  source.oldest = source.newest = kNone;
  Index& bucket = source_buckets_[hash_of_source(source.address, source.family)];
  source.next_in_bucket = bucket;
  bucket = fresh;
  return fresh;
}

Reassembler::Index Reassembler::begin_datagram(const Key& key, uint32_t bucket, Ticks now) {
  const Index fresh = free_datagram_;
  Datagram& datagram = datagrams_[fresh];
  free_datagram_ = datagram.next_in_bucket;
  datagram = {};
  datagram.key = key;
  datagram.born = ++born_;
  datagram.deadline = now + (key.family == Family::kIpv4 ? settings_.ipv4_timeout : settings_.ipv6_timeout);
  datagram.first = datagram.last = kNone;
  datagram.next_in_bucket = buckets_[bucket];
  buckets_[bucket] = fresh;

  AgeList& all = ages(key.family);
  datagram.older = all.newest;
  datagram.newer = kNone;
  (all.newest == kNone ? all.oldest : datagrams_[all.newest].newer) = fresh;
  all.newest = fresh;

  datagram.source = source_for(key);
  Source& source = sources_[datagram.source];
  datagram.older_of_source = source.newest;
  datagram.newer_of_source = kNone;
  (source.newest == kNone ? source.oldest : datagrams_[source.newest].newer_of_source) = fresh;
  source.newest = fresh;
  ++held_datagrams_;
  return fresh;
}

void Reassembler::charge(Datagram& datagram, uint32_t bytes) {
  datagram.charge += bytes;
  sources_[datagram.source].charge += bytes;
  held_bytes_ += bytes;
}

Reassembler::Index Reassembler::oldest_of_all() const {
  const Index ipv4 = ages_[0].oldest, ipv6 = ages_[1].oldest;
  if (ipv4 == kNone || ipv6 == kNone) return ipv4 == kNone ? ipv6 : ipv4;
  return datagrams_[ipv4].born < datagrams_[ipv6].born ? ipv4 : ipv6;
}

// A source that has its share makes room out of its own. False: there is no such room at all.
bool Reassembler::make_room(const Key& key, uint32_t charge, FragmentLosses& losses) {
  const uint64_t share = settings_.memory_bytes / settings_.source_share;
  if (charge > share) return false;
  const auto evict = [&](Index victim) {
    losses[static_cast<size_t>(FragmentDrop::kMemory)] += datagrams_[victim].pieces;
    remove(victim);
  };
  for (Index source = find_source(key); source != kNone && sources_[source].charge + charge > share;
       source = find_source(key))
    evict(sources_[source].oldest);
  while (held_bytes_ + charge > settings_.memory_bytes) evict(oldest_of_all());
  return true;
}

Reassembler::Result Reassembler::add(rte_mbuf* packet, uint8_t* ip, uint32_t link, Ticks now, FragmentLosses& losses) {
  Fragment fragment;
  if (!parse(packet, ip, fragment)) return drop(packet, FragmentDrop::kMalformed, losses);
  if (!fragment.is_fragment) return {Outcome::kComplete, {}, packet, ip, 1};
  fragment.key.link = link;
  if (fragment.offset == 0 && !fragment.more) {
    // By itself, whatever else has the same id (RFC 6946 section 4).
    const auto ip_at = static_cast<unsigned>(ip - rte_pktmbuf_mtod(packet, uint8_t*));
    remove_fragment_header(packet, ip_at, fragment.fragment_header_at, fragment.next_header_at);
    set_fragments_seen(packet, {.longest = fragment.ip_length,
                                .payload = static_cast<uint16_t>(fragment.length),
                                .family = fragment.key.family});
    return {Outcome::kComplete, {}, packet, rte_pktmbuf_mtod_offset(packet, uint8_t*, ip_at), 1};
  }
  const uint32_t bucket = hash(fragment.key);
  Index datagram = find(fragment.key, bucket);
  const bool known = datagram != kNone;
  if (known && datagrams_[datagram].given_up) return drop(packet, FragmentDrop::kOverlap, losses);
  const uint64_t born = known ? datagrams_[datagram].born : 0;
  if (!make_room(fragment.key, std::max(cost_of(packet), kLeastCharge), losses))
    return drop(packet, FragmentDrop::kMemory, losses);
  if (known && (find(fragment.key, bucket) != datagram || datagrams_[datagram].born != born))
    return drop(packet, FragmentDrop::kMemory, losses);  // its own datagram had to go
  if (!known) datagram = begin_datagram(fragment.key, bucket, now);
  return insert(datagram, packet, ip, fragment, losses);
}

Reassembler::Result Reassembler::drop(rte_mbuf* packet, FragmentDrop reason, FragmentLosses& losses) {
  ++losses[static_cast<size_t>(reason)];
  rte_pktmbuf_free(packet);
  return {Outcome::kDropped, reason, nullptr, nullptr, 0};
}

Reassembler::Result Reassembler::give_up(Index index, rte_mbuf* packet, FragmentDrop reason, FragmentLosses& losses) {
  Datagram& datagram = datagrams_[index];
  losses[static_cast<size_t>(reason)] += datagram.pieces;
  // RFC 5722: "any constituent fragments, including those not yet received, MUST be silently discarded". IPv4 has too
  // few ids for that: the next datagram may have the same.
  if (datagram.key.family == Family::kIpv6 && reason == FragmentDrop::kOverlap) {
    free_pieces(datagram);
    datagram.given_up = true;
    charge(datagram, kLeastCharge);
  } else {
    remove(index);
  }
  return drop(packet, reason, losses);
}

Reassembler::Result Reassembler::insert(Index index, rte_mbuf* packet, const uint8_t* ip, const Fragment& fragment,
                                        FragmentLosses& losses) {
  Datagram& datagram = datagrams_[index];
  // Mostly they come in order: behind the last. `before` is what the new one comes after.
  Index before = datagram.last, after = kNone;
  if (before != kNone && pieces_[before].end() > fragment.offset) {
    before = kNone;
    after = datagram.first;
    while (pieces_[after].end() <= fragment.offset) before = after, after = pieces_[after].next;
    const Piece& there = pieces_[after];
    if (there.offset == fragment.offset && there.length == fragment.length)
      return drop(packet, FragmentDrop::kDuplicate, losses);
    if (there.offset < fragment.end()) return give_up(index, packet, FragmentDrop::kOverlap, losses);
  }
  // The datagram ends in one place.
  const uint32_t reach = datagram.last == kNone ? 0 : pieces_[datagram.last].end();
  if (fragment.more ? datagram.length != 0 && fragment.end() > datagram.length
                    : datagram.length != 0 || reach > fragment.end())
    return give_up(index, packet, FragmentDrop::kMalformed, losses);

  const Index fresh = free_piece_;
  Piece& piece = pieces_[fresh];
  free_piece_ = piece.next;
  piece.packet = packet;
  piece.next = after;
  piece.offset = static_cast<uint16_t>(fragment.offset);
  piece.length = static_cast<uint16_t>(fragment.length);
  piece.ip_at = static_cast<uint16_t>(ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  piece.payload_at = fragment.payload_at;
  (before == kNone ? datagram.first : pieces_[before].next) = fresh;
  if (after == kNone) datagram.last = fresh;

  charge(datagram, std::max(cost_of(packet), kLeastCharge));
  ++datagram.pieces;
  datagram.received += fragment.length;
  datagram.ecn_seen = static_cast<uint8_t>(datagram.ecn_seen | 1u << fragment.ecn);
  if (!fragment.more) datagram.length = fragment.end();
  if (fragment.ip_length >= datagram.longest) {
    // As Linux: DF counts if the longest one has it.
    datagram.longest_dont_fragment =
        fragment.dont_fragment || (fragment.ip_length == datagram.longest && datagram.longest_dont_fragment);
    datagram.longest = fragment.ip_length;
  }
  if (datagram.received == datagram.length) return complete(index, losses);
  return {Outcome::kHeld, {}, nullptr, nullptr, 0};
}

// What every piece but the last carries; 0 if that differs.
uint16_t Reassembler::common_part(const Datagram& datagram) const {
  const uint16_t part = pieces_[datagram.first].length;
  for (Index at = datagram.first; at != kNone; at = pieces_[at].next) {
    if (pieces_[at].length > part || (pieces_[at].length < part && pieces_[at].next != kNone)) return 0;
  }
  return part;
}

// All pieces as one packet, whose headers are still the first fragment's.
rte_mbuf* Reassembler::chain(Datagram& datagram, unsigned& ip_at) {
  rte_mbuf* whole = nullptr;
  rte_mbuf* tail = nullptr;
  for (Index at = datagram.first; at != kNone; at = pieces_[at].next) {
    Piece& piece = pieces_[at];
    rte_mbuf* packet = piece.packet;
    const unsigned payload_at = piece.ip_at + piece.payload_at;
    shorten(packet, payload_at + piece.length);
    if (whole == nullptr) {
      whole = packet;
      ip_at = piece.ip_at;
    } else {
      skip(packet, payload_at);
      if (packet->data_len == 0) {
        // The payload began with the next buffer.
        rte_mbuf* rest = packet->next;
        rest->pkt_len = packet->pkt_len;
        rest->nb_segs = static_cast<uint16_t>(packet->nb_segs - 1);
        rte_pktmbuf_free_seg(packet);
        packet = rest;
      }
      tail->next = packet;
      whole->pkt_len += packet->pkt_len;
      whole->nb_segs = static_cast<uint16_t>(whole->nb_segs + packet->nb_segs);
    }
    tail = rte_pktmbuf_lastseg(packet);
    piece.packet = nullptr;
  }
  return whole;
}

Reassembler::Result Reassembler::complete(Index index, FragmentLosses& losses) {
  Datagram& datagram = datagrams_[index];
  const bool is_ipv4 = datagram.key.family == Family::kIpv4;
  const unsigned fragments = datagram.pieces;
  uint32_t segments = 0;
  for (Index at = datagram.first; at != kNone; at = pieces_[at].next) segments += pieces_[at].packet->nb_segs;

  const Piece& first = pieces_[datagram.first];
  const uint8_t* first_ip = rte_pktmbuf_mtod_offset(first.packet, const uint8_t*, first.ip_at);
  Fragment headers;
  parse(first.packet, first_ip, headers);
  const unsigned total = headers.header_bytes() + datagram.length;
  // An IPv6 length does not count the first header.
  const bool too_long = (is_ipv4 ? total : total - kIpv6Bytes) > 0xffff;
  if (too_long || !ecn_is_consistent(datagram.ecn_seen) || segments > RTE_MBUF_MAX_NB_SEGS) {
    losses[static_cast<size_t>(FragmentDrop::kMalformed)] += fragments;
    remove(index);
    return {Outcome::kDropped, FragmentDrop::kMalformed, nullptr, nullptr, 0};
  }
  unsigned ip_at = 0;
  const FragmentsSeen seen = {.longest = datagram.longest,
                              .part = common_part(datagram),
                              .payload = static_cast<uint16_t>(datagram.length),
                              .family = datagram.key.family,
                              .dont_fragment = datagram.longest_dont_fragment};
  const bool congestion = ecn_has_congestion(datagram.ecn_seen);
  rte_mbuf* packet = chain(datagram, ip_at);
  remove(index);

  if (!is_ipv4) remove_fragment_header(packet, ip_at, headers.fragment_header_at, headers.next_header_at);
  if (!gather(packet, ip_at + kContiguousBytes)) {
    losses[static_cast<size_t>(FragmentDrop::kMemory)] += fragments;
    rte_pktmbuf_free(packet);
    return {Outcome::kDropped, FragmentDrop::kMemory, nullptr, nullptr, 0};
  }
  uint8_t* ip = rte_pktmbuf_mtod_offset(packet, uint8_t*, ip_at);
  if (is_ipv4) {
    auto& header = *reinterpret_cast<Ipv4Header*>(ip);
    header.total_length = be16::from_host(static_cast<uint16_t>(total));
    header.fragment = be16{};
    if (congestion) header.tos |= kCe;
    header.checksum = be16{};
    header.checksum = internet_checksum(ip, header.header_bytes());
  } else {
    auto& header = *reinterpret_cast<Ipv6Header*>(ip);
    header.payload_length = be16::from_host(static_cast<uint16_t>(total - kIpv6Bytes));
    if (congestion) header.version_class_flow = be32::from_host(header.version_class_flow.host() | kCe << 20);
  }
  set_fragments_seen(packet, seen);
  return {Outcome::kComplete, {}, packet, ip, fragments};
}

void Reassembler::free_pieces(Datagram& datagram) {
  for (Index at = datagram.first; at != kNone;) {
    Piece& piece = pieces_[at];
    rte_pktmbuf_free(piece.packet);
    const Index next = piece.next;
    piece.next = free_piece_;
    free_piece_ = at;
    at = next;
  }
  datagram.first = datagram.last = kNone;
  datagram.pieces = datagram.received = 0;
  held_bytes_ -= datagram.charge;
  sources_[datagram.source].charge -= datagram.charge;
  datagram.charge = 0;
}

void Reassembler::unlink_from_source(Index index) {
  const Datagram& datagram = datagrams_[index];
  Source& source = sources_[datagram.source];
  (datagram.older_of_source == kNone ? source.oldest : datagrams_[datagram.older_of_source].newer_of_source) =
      datagram.newer_of_source;
  (datagram.newer_of_source == kNone ? source.newest : datagrams_[datagram.newer_of_source].older_of_source) =
      datagram.older_of_source;
  if (source.oldest != kNone) return;
  Index* link = &source_buckets_[hash_of_source(source.address, source.family)];
  while (*link != datagram.source) link = &sources_[*link].next_in_bucket;
  *link = source.next_in_bucket;
  source.next_in_bucket = free_source_;
  free_source_ = datagram.source;
}

void Reassembler::remove(Index index) {
  Datagram& datagram = datagrams_[index];
  free_pieces(datagram);
  unlink_from_source(index);
  AgeList& all = ages(datagram.key.family);
  (datagram.older == kNone ? all.oldest : datagrams_[datagram.older].newer) = datagram.newer;
  (datagram.newer == kNone ? all.newest : datagrams_[datagram.newer].older) = datagram.older;
  Index* link = &buckets_[hash(datagram.key)];
  while (*link != index) link = &datagrams_[*link].next_in_bucket;
  *link = datagram.next_in_bucket;
  datagram.next_in_bucket = free_datagram_;
  free_datagram_ = index;
  --held_datagrams_;
}

bool Reassembler::take_expired(Ticks now, Expired& expired) {
  for (const AgeList& all : ages_) {
    if (all.oldest == kNone || !is_due(datagrams_[all.oldest].deadline, now)) continue;
    Datagram& datagram = datagrams_[all.oldest];
    expired.fragments = datagram.pieces;
    if (datagram.first != kNone && pieces_[datagram.first].offset == 0) {
      Piece& first = pieces_[datagram.first];
      expired.first = first.packet;
      expired.ip = rte_pktmbuf_mtod_offset(first.packet, uint8_t*, first.ip_at);
      first.packet = nullptr;
    }
    remove(all.oldest);
    return true;
  }
  return false;
}

unsigned Reassembler::clear() {
  unsigned fragments = 0;
  for (Index oldest = oldest_of_all(); oldest != kNone; oldest = oldest_of_all()) {
    fragments += datagrams_[oldest].pieces;
    remove(oldest);
  }
  return fragments;
}

}  // namespace fulcrum
