/**
 * Loaded before everything else by the processes that bundle-cache.mjs starts, in each of their threads: keeps what V8 has
 * compiled of the scripts (script.ts), functions that were called included.
 *
 * Into files that are open from the moment a script is compiled: at the end the process may be another account.
 */
'use strict';
const { ftruncateSync, openSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const vm = require('node:vm');
const { isMainThread, MessagePort, threadId } = require('node:worker_threads');

const directory = process.env.MAILHAUL_RECORD;
const kept = [];

/** The scripts of mailhaul are the only ones that are compiled with a cache. */
vm.Script = class extends vm.Script {
  constructor(text, options) {
    super(text, options);
    if (options?.cachedData === undefined) return;
    const name = options.filename.replaceAll('/', '+');
    kept.push({ script: this, fd: openSync(join(directory, `${name}.${threadId}`), 'w') });
  }
};

function keep() {
  for (const { script, fd } of kept) {
    ftruncateSync(fd, 0);
    const data = script.createCachedData();
    for (let at = 0; at < data.length; ) at += writeSync(fd, data, at, data.length - at, at);
  }
}

if (isMainThread) process.on('exit', keep);
else {
  // A thread of a pool is ended from outside, while it waits. It has done something when it says so.
  const { postMessage } = MessagePort.prototype;
  MessagePort.prototype.postMessage = function (...args) {
    keep();
    return postMessage.apply(this, args);
  };
}
