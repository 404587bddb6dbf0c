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

constexpr unsigned kFrameBytes = 60;
constexpr MacAddress kSenderMac = {0x02, 0, 0, 0, 0, 0x01};
using Frame = std::array<uint8_t, kFrameBytes>;

// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: file header and record header, in host order.
struct FileHeader {
  uint32_t magic = 0xa1b2c3d4;
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0;
  uint32_t longest = kFrameBytes;
  uint32_t link_type = 1;  // Ethernet
};
struct RecordHeader {
  uint32_t seconds = 0, microseconds = 0;
  uint32_t captured = kFrameBytes, original = kFrameBytes;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(RecordHeader) == 16);

void fill_ip(uint8_t* ip, const Tuple<Family::kIpv4>& tuple, IpProtocol protocol, unsigned payload) {
  auto& header = *reinterpret_cast<Ipv4Header*>(ip);
  header.version_ihl = 0x45;
  header.total_length = be16::from_host(static_cast<uint16_t>(kIpv4Bytes + payload));
  header.fragment = be16::from_host(kIpv4DontFragment);
  header.ttl = 64;
  header.protocol = static_cast<uint8_t>(protocol);
  header.source = tuple.source;
  header.destination = tuple.destination;
  header.checksum = internet_checksum(ip, kIpv4Bytes);
}

Frame make_frame(const Scenario& scenario, uint32_t flow) {
  Frame frame{};
  const Tuple<Family::kIpv4> tuple = scenario.arriving(flow);
  // Nothing is padding.
  constexpr uint16_t payload = kFrameBytes - kEthernetBytes - kIpv4Bytes;
  uint8_t* ip = frame.data() + kEthernetBytes;
  uint8_t* transport = ip + kIpv4Bytes;
  std::memcpy(frame.data(), kCapturePortMac.data(), 6);
  std::memcpy(frame.data() + 6, kSenderMac.data(), 6);
  store_unaligned(frame.data() + 12, be16::from_host(kEtherTypeIpv4));
  fill_ip(ip, tuple, scenario.protocol, payload);
  std::memcpy(transport, &tuple.source_port, 4);
  if (scenario.protocol == IpProtocol::kTcp) {
    auto& header = *reinterpret_cast<TcpHeader*>(transport);
    header.data_offset = kTcpBytes / 4 << 4;
    header.flags = kTcpAck;
    header.checksum = transport_checksum(tuple.source, tuple.destination, scenario.protocol, transport, payload);
  } else {
    auto& header = *reinterpret_cast<UdpHeader*>(transport);
    header.length = be16::from_host(payload);
    header.checksum =
        udp_on_wire(transport_checksum(tuple.source, tuple.destination, scenario.protocol, transport, payload));
  }
  return frame;
}

}  // namespace

void write_capture(const Scenario& scenario, const std::string& path) {
  const auto fail = [&] { throw BenchError("capture file " + path + ": " + std::strerror(errno)); };
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  if (file == nullptr) fail();
  const FileHeader file_header;
  if (std::fwrite(&file_header, sizeof file_header, 1, file.get()) != 1) fail();
  const RecordHeader record_header;
  for (uint32_t flow = 0; flow < scenario.flows; ++flow) {
    const Frame frame = make_frame(scenario, flow);
    if (std::fwrite(&record_header, sizeof record_header, 1, file.get()) != 1 ||
        std::fwrite(frame.data(), frame.size(), 1, file.get()) != 1)
      fail();
  }
  if (std::fflush(file.get()) != 0) fail();
}

}  // namespace fulcrum::bench
