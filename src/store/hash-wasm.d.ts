/**
 * hash-wasm has each algorithm in a file of its own too, for browsers, without types. All of them together, as its main
 * file has them, cost every process and every thread 280 kB of text to read and compile.
 */
declare module 'hash-wasm/dist/xxhash3.umd.min.js' {
  const exported: Pick<typeof import('hash-wasm'), 'createXXHash3'>;
  export default exported;
}
declare module 'hash-wasm/dist/xxhash128.umd.min.js' {
  const exported: Pick<typeof import('hash-wasm'), 'createXXHash128'>;
  export default exported;
}
