/**
 * The Node-API layer under ASan and UBSan: `node --expose-gc addon_test.mjs <addon>`, with the runtime of ASan preloaded.
 *
 * `setFault` keeps a pointer into the memory of a typed array. Each test arms, gives the collector reason to take away
 * whatever nobody holds any more, and makes a call that counts.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

// Not by `require`, which wants another name of the file.
const loaded = { exports: {} };
process.dlopen(loaded, isMainThread ? process.argv[2] : workerData);
const addon = loaded.exports;

const { ENOSPC, NEVER, FAIL } = { ENOSPC: 28, NEVER: 0, FAIL: 2 };

/** Large, so that its memory is its own and goes back when it is collected. */
const counterOf = () => new Int32Array(new SharedArrayBuffer(1 << 20));

async function collect() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    // Memory that is shared is let go by a task.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The cheapest call that passes the seam. */
async function effect() {
  const fd = openSync(tmpdir(), 'r');
  try {
    await addon.syncfsAsync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The cheapest call that settles. */
function scan() {
  const fd = openSync(tmpdir(), 'r');
  try {
    addon.scan(fd);
  } finally {
    closeSync(fd);
  }
}

/** A pace with limits so high that nothing waits; large as above. */
function paceOf() {
  addon.startPacing();
  const pace = new Int32Array(new SharedArrayBuffer(1 << 20));
  new BigInt64Array(pace.buffer, 8, 2).fill(1n << 50n);
  pace[0] = 1;
  return pace;
}

const countedBy = (pace) => new BigInt64Array(pace.buffer, 48, 1)[0];

const disarm = () => addon.setFault(counterOf(), NEVER, 0, 0);

const tests = {
  'the allocator can be told to return memory, again and again'() {
    addon.returnFreedMemory();
    addon.returnFreedMemory();
  },

  async 'an armed pace lives although nobody else holds it'() {
    addon.setPace(paceOf(), counterOf());
    await collect();
    scan();
    addon.setPace(null);
  },

  async 'a pace counts, until another takes its place or none'() {
    const pace = paceOf();
    const second = paceOf();
    addon.setPace(pace, counterOf());
    scan();
    addon.setPace(second, counterOf());
    const counted = countedBy(pace);
    assert.ok(counted > 0n);
    scan();
    assert.ok(countedBy(second) > 0n);
    addon.setPace(null);
    await collect();
    scan();
    assert.equal(countedBy(pace), counted);
  },

  async 'a pace that is none is refused, and the one that was armed still is'() {
    const pace = paceOf();
    addon.setPace(pace, counterOf());
    const wrong = [
      [],
      [pace],
      [pace, null],
      [new Int32Array(16), counterOf()],
      [pace, new Int32Array(16)],
      [new Int32Array(new SharedArrayBuffer(60)), counterOf()],
      [new Int32Array(new SharedArrayBuffer(128), 4), counterOf()],
      [pace, new Int32Array(new SharedArrayBuffer(0))],
      [new BigInt64Array(new SharedArrayBuffer(64)), counterOf()],
    ];
    for (const values of wrong) assert.throws(() => addon.setPace(...values));
    await collect();
    scan();
    assert.ok(countedBy(pace) > 0n);
    addon.setPace(null);
  },

  async 'an armed counter lives although nobody else holds it'() {
    addon.setFault(counterOf(), 3, FAIL, ENOSPC);
    await collect();
    await effect();
    await effect();
    await assert.rejects(effect(), { code: 'ENOSPC' });
  },

  async 'another counter takes its place'() {
    addon.setFault(counterOf(), 1, FAIL, ENOSPC);
    const counter = counterOf();
    addon.setFault(counter, NEVER, FAIL, ENOSPC);
    await collect();
    await effect();
    assert.equal(counter[0], 1);
  },

  async 'a call that throws changes nothing: the counter that was armed still is, and still lives'() {
    const throwing = {
      valueOf() {
        throw new RangeError('mine');
      },
    };
    const wrong = [
      [counterOf(), throwing, FAIL, ENOSPC],
      [counterOf(), 1, throwing, ENOSPC],
      [counterOf(), 1, FAIL, throwing],
      [counterOf(), Symbol('at'), FAIL, ENOSPC],
      [counterOf(), 1, 4, ENOSPC],
      [counterOf(), 1, -1, ENOSPC],
      [new Int32Array(new SharedArrayBuffer(0)), 1, FAIL, ENOSPC],
      [new Uint32Array(new SharedArrayBuffer(64)), 1, FAIL, ENOSPC],
      [undefined, 1, FAIL, ENOSPC],
    ];
    for (const values of wrong) {
      addon.setFault(counterOf(), 2, FAIL, ENOSPC);
      assert.throws(() => addon.setFault(...values));
      values.length = 0;
      await collect();
      await effect();
      await assert.rejects(effect(), { code: 'ENOSPC' });
    }
  },

  async 'memory that can be taken away is not taken'() {
    // An ArrayBuffer can be transferred to another thread; what is armed would point to nothing.
    const counter = new Int32Array(1 << 18);
    assert.throws(() => addon.setFault(counter, 1, FAIL, ENOSPC), TypeError);
    const later = {
      valueOf() {
        structuredClone(counter.buffer, { transfer: [counter.buffer] });
        return 1;
      },
    };
    assert.throws(() => addon.setFault(counter, later, FAIL, ENOSPC), TypeError);
    await collect();
    await effect();
  },

  async 'a look at a folder takes one name and room for its numbers'() {
    const fd = openSync(tmpdir(), 'r');
    const room = new BigUint64Array(4);
    try {
      const names = ['', '.', '..', 'a/b', '/', 'a\0', 7, undefined];
      for (const name of names) {
        assert.throws(() => addon.glance(fd, name, room), TypeError);
        assert.throws(() => addon.head(fd, name, false, 10, room), TypeError);
      }
      for (const numbers of [undefined, new BigUint64Array(0), new Uint32Array(8)]) {
        assert.throws(() => addon.glance(fd, null, numbers), TypeError);
        assert.throws(() => addon.head(fd, 'nothing', false, 10, numbers), TypeError);
      }
      assert.equal(typeof addon.glance(fd, null, room), 'string');
      assert.equal(room[3], BigInt(fd));
    } finally {
      closeSync(fd);
    }
  },

  async 'a thread that ends while it is armed takes its counter with it, and nobody else’s'() {
    const counter = counterOf();
    addon.setFault(counter, NEVER, FAIL, ENOSPC);
    for (const how of ['exit', 'terminate']) {
      const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      if (how === 'terminate') await worker.terminate();
      else {
        worker.postMessage('end');
        await new Promise((resolve) => worker.once('exit', resolve));
      }
      await collect();
    }
    await effect();
    assert.equal(counter[0], 1);
  },
};

if (isMainThread) {
  for (const [name, test] of Object.entries(tests)) {
    disarm();
    await test();
    console.log(`ok     ${name}`);
  }
  disarm();
} else {
  const { parentPort } = await import('node:worker_threads');
  addon.setFault(counterOf(), 2, FAIL, ENOSPC);
  await effect();
  parentPort.once('message', () => {});
  parentPort.postMessage('armed');
}
