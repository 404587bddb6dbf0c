// SPDX-License-Identifier: Apache-2.0
// One worker's incomplete datagrams (RFC 791 section 3.2, RFC 8200 section 4.5). Fragments are held as they arrived, in
// order of their offsets, until the datagram is complete; then they become one chain. Memory is bounded, in all and for
// each source, by the buffers that are held; all bookkeeping is allocated at create().
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <memory>

#include "core/clock.h"
#include "net/address.h"
#include "net/headers.h"

namespace fulcrum {

// Why a fragment died.
enum class FragmentDrop : uint8_t {
  kMalformed,  // makes no sense by itself or with the others
  kOverlap,    // parts of the datagram were sent twice: all of it goes (RFC 5722)
  kDuplicate,  // exactly this piece was here already
  kMemory,     // others needed the room
  kTimeout,
  kCount
};
using FragmentLosses = std::array<uint32_t, static_cast<size_t>(FragmentDrop::kCount)>;

struct ReassemblySettings {
  uint64_t memory_bytes = 4 << 20;  // of packet buffers, as Linux's ipfrag_high_thresh
  uint32_t source_share = 4;        // a source holds at most one part in so many of it
  Ticks ipv4_timeout = seconds_to_ticks(30);
  Ticks ipv6_timeout = seconds_to_ticks(60);  // RFC 8200 section 4.5
  // The hash's key: random at every start.
  uint64_t secret_first = 0;
  uint64_t secret_second = 0;
};

class Reassembler {
 public:
  enum class Outcome : uint8_t { kHeld, kComplete, kDropped };

  struct Result {
    Outcome outcome = Outcome::kDropped;
    FragmentDrop reason = FragmentDrop::kMalformed;  // of kDropped
    // Of kComplete: the datagram, with whatever stood before the first fragment's IP header. Its first buffer holds at
    // least kContiguousBytes of the datagram, or all of it. fragments_seen() is set.
    rte_mbuf* packet = nullptr;
    uint8_t* ip = nullptr;
    unsigned fragments = 0;  // of kComplete: so many packets became this one
  };

  // A datagram of which too little came in time.
  struct Expired {
    rte_mbuf* first = nullptr;  // the fragment with offset 0 as it came, the receiver's to free; null: it never came
    uint8_t* ip = nullptr;      // in `first`
    unsigned fragments = 0;     // that die, `first` among them
  };

  // Room for the longest IPv4 and TCP headers.
  static constexpr unsigned kContiguousBytes = 128;

  Reassembler() = default;
  ~Reassembler() { clear(); }
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // False: no memory. register_fragment_limit() comes before.
  bool create(const ReassemblySettings& settings);

  // Other limits from now on; memory is at most what create() was given.
  void tune(uint64_t memory_bytes, Ticks ipv4_timeout, Ticks ipv6_timeout);

  // Takes a fragment whose IP header begins at `ip`, in the first buffer of `packet` with all headers up to the
  // fragment's payload. `link` tells apart what arrived by different interfaces. Every fragment that dies by this is
  // counted in `losses`, `packet` itself too if it is dropped. What is no fragment, or one that is all of its datagram
  // (RFC 6946), is complete at once.
  Result add(rte_mbuf* packet, uint8_t* ip, uint32_t link, Ticks now, FragmentLosses& losses);

  // Gives up at most `budget` datagrams whose time is over: callback(const Expired&) for each that holds fragments.
  // True if there may be more.
  template <typename Callback>
  bool expire(Ticks now, unsigned budget, Callback&& callback) {
    for (; budget != 0; --budget) {
      Expired expired;
      if (!take_expired(now, expired)) return false;
      if (expired.fragments != 0) callback(static_cast<const Expired&>(expired));
    }
    return true;
  }

  // Frees all that is held: so many fragments.
  unsigned clear();

  // Where a fragment's pieces meet: the owner_hash() of design's "home". 0 for what is malformed.
  static uint32_t home_hash(const rte_mbuf* packet, const uint8_t* ip);

  uint64_t held_bytes() const { return held_bytes_; }
  unsigned held_datagrams() const { return held_datagrams_; }

 private:
  using Index = uint32_t;
  static constexpr Index kNone = 0xffffffff;
  // What a fragment costs at least, so that the limit bounds the arenas too.
  static constexpr uint32_t kLeastCharge = 2048;

  struct Key {
    Ipv6Address source, destination;  // IPv4: the first four bytes, the others zero
    uint32_t id = 0;
    uint32_t link = 0;
    uint8_t protocol = 0;  // IPv4 only
    Family family = Family::kNone;
    bool operator==(const Key&) const = default;
  };

  // A fragment by its headers. Offsets are from the IP header.
  struct Fragment {
    Key key;
    uint32_t offset = 0, length = 0;
    uint16_t payload_at = 0;
    uint16_t fragment_header_at = 0, next_header_at = 0;  // IPv6
    uint16_t ip_length = 0;
    uint8_t ecn = 0;
    bool more = false, dont_fragment = false, is_fragment = false;

    uint32_t end() const { return offset + length; }
    // Of the headers that the datagram will have.
    unsigned header_bytes() const;
  };

  struct Piece {
    rte_mbuf* packet;
    Index next;  // by offset; of a free one: the next free
    uint16_t offset, length;
    uint16_t ip_at;       // in the first buffer
    uint16_t payload_at;  // from the IP header

    uint32_t end() const { return uint32_t{offset} + length; }
  };

  struct Datagram {
    Key key;
    uint64_t born;  // a sequence number
    Ticks deadline;
    Index next_in_bucket;  // of a free one: the next free
    Index source;
    Index older, newer;                      // of its family
    Index older_of_source, newer_of_source;  // of its source
    Index first, last;                       // pieces by offset
    uint32_t pieces, received, length;       // length 0: the last fragment has not come
    uint32_t charge;
    uint16_t longest;
    uint8_t ecn_seen;  // one bit for each of the four code points
    bool longest_dont_fragment;
    bool given_up;  // IPv6: what still comes of it dies too
  };

  // A sender: an IPv4 address, or a /64 of IPv6, which one host has all to itself.
  struct Source {
    Ipv6Address address;
    uint64_t charge;
    Index next_in_bucket;  // of a free one: the next free
    Index oldest, newest;
    Family family;
  };

  struct AgeList {
    Index oldest = kNone, newest = kNone;
  };

  static bool parse(const rte_mbuf* packet, const uint8_t* ip, Fragment& fragment);
  static bool parse_ipv4(const uint8_t* ip, unsigned have, unsigned whole, Fragment& fragment);
  static bool parse_ipv6(const uint8_t* ip, unsigned have, unsigned whole, Fragment& fragment);

  uint32_t hash(const Key& key) const;
  uint32_t hash_of_source(const Ipv6Address& address, Family family) const;
  static Ipv6Address source_address(const Key& key);

  Index find(const Key& key, uint32_t bucket) const;
  Index find_source(const Key& key) const;
  Index begin_datagram(const Key& key, uint32_t bucket, Ticks now);
  Index source_for(const Key& key);
  bool make_room(const Key& key, uint32_t charge, FragmentLosses& losses);
  Index oldest_of_all() const;
  void charge(Datagram& datagram, uint32_t bytes);

  Result insert(Index datagram, rte_mbuf* packet, const uint8_t* ip, const Fragment& fragment, FragmentLosses& losses);
  Result complete(Index datagram, FragmentLosses& losses);
  uint16_t common_part(const Datagram& datagram) const;
  rte_mbuf* chain(Datagram& datagram, unsigned& ip_at);
  Result drop(rte_mbuf* packet, FragmentDrop reason, FragmentLosses& losses);
  // The datagram's fragments die, and `packet` with them.
  Result give_up(Index datagram, rte_mbuf* packet, FragmentDrop reason, FragmentLosses& losses);

  void free_pieces(Datagram& datagram);
  void remove(Index datagram);
  void unlink_from_source(Index datagram);
  bool take_expired(Ticks now, Expired& expired);

  AgeList& ages(Family family) { return ages_[family == Family::kIpv6 ? 1 : 0]; }

  ReassemblySettings settings_;
  uint64_t most_bytes_ = 0;
  uint32_t capacity_ = 0, bucket_mask_ = 0;
  std::unique_ptr<Index[]> buckets_, source_buckets_;
  std::unique_ptr<Piece[]> pieces_;
  std::unique_ptr<Datagram[]> datagrams_;
  std::unique_ptr<Source[]> sources_;
  Index free_piece_ = kNone, free_datagram_ = kNone, free_source_ = kNone;
  std::array<AgeList, 2> ages_;
  uint64_t held_bytes_ = 0, born_ = 0;
  unsigned held_datagrams_ = 0;
};

}  // namespace fulcrum
