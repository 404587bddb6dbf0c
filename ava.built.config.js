// What npm test runs: the tests as the build has compiled them, so that no process of theirs compiles anything again.
export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false,
  timeout: '10m',
};
