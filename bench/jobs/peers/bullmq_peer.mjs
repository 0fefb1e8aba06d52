// BullMQ: `worker` processes 100 jobs at once, forgetting those that succeeded; else the client's
// commands, as client.py has them.
import { openSync, readSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.env.BENCH_MODULES + '/');
const { Queue, Worker } = require('bullmq');
const pg = require('pg');

const url = new URL(process.env.BENCH_REDIS);
const connection = {
  host: url.hostname,
  port: Number(url.port),
  password: decodeURIComponent(url.password),
  maxRetriesPerRequest: null,
};
const WARM = 20;
const CHUNK = 500;
const now = () => Number(process.hrtime.bigint()) / 1e9;
const files = {};

function write(name, position, ...values) {
  files[name] ??= openSync(process.env[name], 'r+');
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeDoubleLE(value, 8 * index));
  writeSync(files[name], bytes, 0, bytes.length, position);
}

const stamp = (number, started) => write('BENCH_STAMPS', 16 * number, started, now());

async function ended(first, count) {
  const file = openSync(process.env.BENCH_STAMPS, 'r');
  const bytes = Buffer.alloc(16 * count);
  for (const until = now() + 60; now() < until; ) {
    readSync(file, bytes, 0, bytes.length, 16 * first);
    if (Array.from({ length: count }, (_, i) => bytes.readDoubleLE(16 * i + 8)).every(Boolean)) return;
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function serve() {
  const pool = new pg.Pool({ connectionString: process.env.BENCH_DSN, max: 10 });
  const work = async (job) => {
    const started = now();
    const number = job.data.number;
    if (job.name === 'durable') {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query({ name: 'i', text: 'INSERT INTO bench_effect (job) VALUES ($1)', values: [number] });
        await client.query({ name: 'u', text: 'UPDATE bench_row SET done = done + 1 WHERE id = $1', values: [number] });
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    }
    stamp(number, started);
  };
  new Worker('bench', work, { connection, concurrency: 100, removeOnComplete: { count: 0 } });
}

async function main([command, ...rest]) {
  if (command === 'worker') return serve();
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
  const one = (kind, number) => queue.add(kind, { number });
  const many = (kind, first, count) =>
    queue.addBulk(Array.from({ length: count }, (_, i) => ({ name: kind, data: { number: first + i } })));
  const all = async (kind, count) => {
    for (let first = 0; first < count; first += CHUNK) await many(kind, first, Math.min(CHUNK, count - first));
  };
  let told = {};
  if (command === 'fill') await all(rest[0], Number(rest[1]));
  if (command === 'enqueue') {
    const count = Number(rest[1]);
    for (let number = 0; number < WARM; number++) await one('noop', number);
    if (rest[0] === 'bulk') await many('noop', 0, CHUNK);
    const started = now();
    if (rest[0] === 'bulk') await all('noop', count);
    else for (let number = 0; number < count; number++) await one('noop', number);
    told = { count, seconds: now() - started };
  }
  if (command === 'latency') {
    const [kind, count, perS] = [rest[0], Number(rest[1]), Number(rest[2])];
    console.log('reset');
    await new Promise((done) => process.stdin.once('data', done));
    process.stdin.pause();
    for (let number = 0; number < WARM; number++) await one(kind, count + number);
    await ended(count, WARM);
    let due = now();
    for (let number = 0; number < count; number++) {
      const wait = (due - now()) * 1000;
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      write('BENCH_SENT', 8 * number, now());
      await one(kind, number);
      due += 1 / perS;
    }
  }
  await queue.close();
  console.log(JSON.stringify(told));
}

await main(process.argv.slice(2));
