// SPDX-License-Identifier: Apache-2.0
#include "bench/capture.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "conn/tcp_state.h"
#include "net/checksum.h"
#include "net/headers.h"

namespace fulcrum::bench {

namespace {

constexpr MacAddress kSenderMac = {0x02, 0, 0, 0, 0, 0x01};
constexpr unsigned kLeastFrame = 60;
using Frame = std::vector<uint8_t>;

// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: file header and record header, in host order.
struct FileHeader {
  uint32_t magic = 0xa1b2c3d4;
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0;
  uint32_t longest = 65535;
  uint32_t link_type = 1;  // Ethernet
};
struct RecordHeader {
  uint32_t seconds = 0, microseconds = 0;
  uint32_t captured = 0, original = 0;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(RecordHeader) == 16);

template <Family F>
void fill_ip(uint8_t* ip, const Tuple<F>& tuple, IpProtocol protocol, unsigned payload) {
  if constexpr (F == Family::kIpv4) {
    auto& header = *reinterpret_cast<Ipv4Header*>(ip);
    header.version_ihl = 0x45;
    header.total_length = be16::from_host(static_cast<uint16_t>(kIpv4Bytes + payload));
    header.fragment = be16::from_host(kIpv4DontFragment);
    header.ttl = 64;
    header.protocol = static_cast<uint8_t>(protocol);
    header.source = tuple.source;
    header.destination = tuple.destination;
    header.checksum = internet_checksum(ip, kIpv4Bytes);
  } else {
    auto& header = *reinterpret_cast<Ipv6Header*>(ip);
    header.version_class_flow = be32::from_host(6u << 28);
    header.payload_length = be16::from_host(static_cast<uint16_t>(payload));
    header.next_header = static_cast<uint8_t>(protocol);
    header.hop_limit = 64;
    header.source = tuple.source;
    header.destination = tuple.destination;
  }
}

template <Family F>
Frame make_frame(const Tuple<F>& tuple, IpProtocol protocol, uint8_t tcp_flags, const MacAddress& to) {
  constexpr unsigned ip_bytes = F == Family::kIpv4 ? kIpv4Bytes : kIpv6Bytes;
  constexpr uint16_t kEtherType = F == Family::kIpv4 ? kEtherTypeIpv4 : kEtherTypeIpv6;
  const unsigned transport_bytes = protocol == IpProtocol::kTcp ? kTcpBytes : kUdpBytes;
  // Nothing is padding.
  const unsigned bytes = std::max(kLeastFrame, kEthernetBytes + ip_bytes + transport_bytes);
  const unsigned payload = bytes - kEthernetBytes - ip_bytes;
  Frame frame(bytes);
  uint8_t* ip = frame.data() + kEthernetBytes;
  uint8_t* transport = ip + ip_bytes;
  std::memcpy(frame.data(), to.data(), 6);
  std::memcpy(frame.data() + 6, kSenderMac.data(), 6);
  store_unaligned(frame.data() + 12, be16::from_host(kEtherType));
  fill_ip<F>(ip, tuple, protocol, payload);
  std::memcpy(transport, &tuple.source_port, 4);
  if (protocol == IpProtocol::kTcp) {
    auto& header = *reinterpret_cast<TcpHeader*>(transport);
    header.data_offset = kTcpBytes / 4 << 4;
    header.flags = tcp_flags;
    header.checksum = transport_checksum(tuple.source, tuple.destination, protocol, transport, payload);
  } else {
    auto& header = *reinterpret_cast<UdpHeader*>(transport);
    header.length = be16::from_host(static_cast<uint16_t>(payload));
    header.checksum = udp_on_wire(transport_checksum(tuple.source, tuple.destination, protocol, transport, payload));
  }
  return frame;
}

uint8_t flags_of_frame(const Scenario& scenario, uint32_t frame) {
  constexpr std::array<uint8_t, Scenario::kTcpLife> kLife = {kTcpSyn, kTcpAck, kTcpFin | kTcpAck, kTcpAck};
  if (scenario.traffic == Traffic::kNew) return kTcpSyn;
  return scenario.traffic == Traffic::kLife ? kLife[frame % kLife.size()] : uint8_t{kTcpAck};
}

class CaptureFile {
 public:
  explicit CaptureFile(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
    if (file_ == nullptr) fail();
    const FileHeader header;
    write(&header, sizeof header);
  }
  void add(const Frame& frame) {
    RecordHeader header;
    header.captured = header.original = static_cast<uint32_t>(frame.size());
    write(&header, sizeof header);
    write(frame.data(), frame.size());
  }
  void finish() {
    if (std::fflush(file_.get()) != 0) fail();
  }

 private:
  void write(const void* data, size_t size) {
    if (std::fwrite(data, size, 1, file_.get()) != 1) fail();
  }
  [[noreturn]] void fail() const { throw BenchError("capture file " + path_ + ": " + std::strerror(errno)); }

  const std::string path_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_;
};

}  // namespace

std::string capture_of_pair(const std::string& path, unsigned pair) {
  return pair == 0 ? path : path + "." + std::to_string(pair);
}

std::vector<uint8_t> frame_of(const Scenario& scenario, unsigned pair, uint32_t flow) {
  const auto frame = [&]<Family F>() {
    return make_frame<F>(scenario.arriving<F>(scenario.owner_of_pair(pair), flow), scenario.protocol,
                         flags_of_frame(scenario, flow), capture_port_mac(pair));
  };
  return scenario.family == Family::kIpv4 ? frame.operator()<Family::kIpv4>() : frame.operator()<Family::kIpv6>();
}

void write_captures(const Scenario& scenario, const std::string& path) {
  for (unsigned pair = 0; pair < scenario.pairs(); ++pair) {
    CaptureFile file(capture_of_pair(path, pair));
    if (scenario.preloads()) {
      for (const uint32_t flow : scenario.flows_of_pair(pair)) file.add(frame_of(scenario, pair, flow));
    } else {
      for (uint32_t number = 0; number < scenario.frames(); ++number) file.add(frame_of(scenario, pair, number));
    }
    file.finish();
  }
}

}  // namespace fulcrum::bench
