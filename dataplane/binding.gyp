# SPDX-License-Identifier: Apache-2.0
# One build for C++: the static core, the addon, and the test, fuzz and bench programs. Sources are found by folder.
{
  'variables': {
    'dpdk_cflags': ['<!@(pkg-config --cflags libdpdk | sed "s/-I/-isystem /g")'],
    # net_ring has a C interface of its own (rte_eth_from_rings), which the in-memory ports of tests use.
    'dpdk_libs': ['<!@(pkg-config --libs libdpdk)', '-lrte_net_ring', '-lrte_bus_vdev'],
    'protobuf_libs': ['<!@(pkg-config --libs protobuf)'],
    'sanitize%': '',
  },
  'target_defaults': {
    'include_dirs': ['.'],
    'cflags': ['<@(dpdk_cflags)', '-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-fvisibility=hidden', '-pthread', '-g1'],
    'cflags!': ['-fno-omit-frame-pointer'],
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-rtti', '-fno-exceptions'],
    'cflags_cc': ['-std=c++20'],
    'ldflags': ['-pthread'],
    'conditions': [
      ['sanitize!=""', {
        'cflags': ['-fsanitize=<(sanitize)', '-fno-omit-frame-pointer', '-fno-sanitize-recover=all'],
        'ldflags': ['-fsanitize=<(sanitize)'],
      }],
    ],
  },
  'targets': [
    {
      'target_name': 'core',
      'type': 'static_library',
      'sources': ['<!@(ls net/*.cc service/*.cc service/scheduler/*.cc conn/*.cc forward/*.cc core/*.cc)'],
    },
    {
      # The messages of proto/ and their translation; apart from the core, which knows no protobuf.
      'target_name': 'api',
      'type': 'static_library',
      'dependencies': ['core'],
      'include_dirs': ['generated'],
      'sources': [
        '<!@(ls api/*.cc)',
        '<!@(ls generated/fulcrum/v1/*.pb.cc generated/fulcrum/dataplane/v1/*.pb.cc)',
        '<!@(ls generated/google/protobuf/*.pb.cc 2>/dev/null || true)',
      ],
      'cflags!': ['-Wshadow', '-Wconversion'],
    },
    {
      'target_name': 'dataplane',
      'dependencies': ['core', 'api'],
      'sources': ['addon/addon.cc'],
      'include_dirs': ['generated'],
      'cflags': ['<!@(node -p "\'-isystem \' + require(\'node-addon-api\').include")'],
      'defines': ['NAPI_VERSION=9', 'NAPI_CPP_EXCEPTIONS'],
      'libraries': ['<@(dpdk_libs)', '<@(protobuf_libs)'],
    },
    {
      'target_name': 'dataplane_test',
      'type': 'executable',
      'dependencies': ['core', 'api'],
      'include_dirs': ['generated'],
      'sources': ['<!@(ls test/*.cc)'],
      # What is tested is optimized as it is shipped; the tests themselves compile in half the time like this.
      'cflags!': ['-O3'],
      'cflags': ['-O1'],
      'libraries': ['<@(dpdk_libs)', '<@(protobuf_libs)'],
    },
    {
      'target_name': 'dataplane_fuzz',
      'type': 'executable',
      'dependencies': ['core'],
      'sources': ['test/fuzz/fuzz_main.cc'],
      'libraries': ['<@(dpdk_libs)'],
    },
    {
      'target_name': 'dataplane_bench',
      'type': 'executable',
      'dependencies': ['core'],
      'sources': ['<!@(ls bench/*.cc 2>/dev/null || true)'],
      'libraries': ['<@(dpdk_libs)'],
    },
  ],
}
