// Process per file: one EAL per process. tsx runs TypeScript as it is; types are checked apart (npm run check).
export default {
  extensions: { ts: 'module' },
  files: ['test/**/*.test.ts'],
  nodeArguments: ['--import=tsx'],
  workerThreads: false,
  timeout: '10m',
};
