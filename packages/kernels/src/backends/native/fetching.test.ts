import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadFile } from './download.ts';
import { chooseWheel, listFiles } from './package-index.ts';

const BODY = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7) % 251));
const SHA = createHash('sha256').update(BODY).digest('hex');
const PLATFORM = 'cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64';

let folder: string;
let server: Server;
let url: string;
let requests: string[];
let handle: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-fetch-'));
  requests = [];
  server = createServer((request, response) => {
    requests.push(`${request.url} ${request.headers.range ?? ''}`.trim());
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

function serveRange(request: IncomingMessage, response: ServerResponse): void {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': BODY.length - from });
  response.end(BODY.subarray(from));
}

const file = (name = 'a.whl', sha256 = SHA) => ({ name, url: `${url}/${name}`, sha256 });

describe('download', () => {
  it('writes the whole file, and reports how far it is', async () => {
    handle = serveRange;
    const seen: number[] = [];
    await downloadFile(file(), join(folder, 'a.whl'), (bytes) => seen.push(bytes));
    expect(readFileSync(join(folder, 'a.whl')).equals(BODY)).toBe(true);
    expect(seen.at(-1)).toBe(BODY.length);
    expect(existsSync(join(folder, 'a.whl.part'))).toBe(false);
  });

  it('goes on where an earlier run stopped', async () => {
    handle = serveRange;
    writeFileSync(join(folder, 'a.whl.part'), BODY.subarray(0, 150_000));
    await downloadFile(file(), join(folder, 'a.whl'));
    expect(requests).toEqual(['/a.whl bytes=150000-']);
    expect(readFileSync(join(folder, 'a.whl')).equals(BODY)).toBe(true);
  });

  it('starts again where the server ignores the range', async () => {
    handle = (_request, response) => response.end(BODY);
    writeFileSync(join(folder, 'a.whl.part'), BODY.subarray(0, 1000));
    await downloadFile(file(), join(folder, 'a.whl'));
    expect(readFileSync(join(folder, 'a.whl')).equals(BODY)).toBe(true);
  });

  /** Writes until the other side has enough, or this much. */
  function endlessly(response: ServerResponse, sent: { bytes: number }): void {
    const chunk = Buffer.alloc(1 << 16);
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) sent.bytes += chunk.length;
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  }

  it.each<[string, (response: ServerResponse, from: number) => void, number]>([
    ['a body without an end', () => {}, 0],
    [
      'a body of another length than its list says',
      (response) => response.writeHead(200, { 'content-length': 1e12 }),
      0,
    ],
    [
      'a part longer than it says',
      (response, from) => response.writeHead(206, { 'content-range': `bytes ${from}-${from + 9}/200000` }),
      1000,
    ],
  ])('takes no more of %s than the file can have, and keeps none of it', async (_, head, here) => {
    const sent = { bytes: 0 };
    handle = (request, response) => {
      head(response, Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0));
      endlessly(response, sent);
    };
    if (here > 0) writeFileSync(join(folder, 'a.whl.part'), BODY.subarray(0, here));
    const most = here > 0 ? 10 : BODY.length;
    await expect(downloadFile({ ...file(), size: BODY.length }, join(folder, 'a.whl'))).rejects.toThrow(
      `backend install: a.whl must download; after 1 try: more than the ${most} bytes that it can have; `,
    );
    expect(sent.bytes).toBeLessThan(32 << 20);
    expect(readdirSync(folder)).toEqual([]);
  });

  // On a busy machine headers may come late, so that there was no answer, either.
  it.each<[string, (response: ServerResponse) => void, string]>([
    ['says nothing', () => {}, 'no answer'],
    ['says nothing after its headers', (response) => response.writeHead(200).flushHeaders(), '(no answer|0 bytes)'],
    ['drips', (response) => void setInterval(() => response.write('x'), 20).unref(), String.raw`(no answer|\d+ bytes)`],
  ])('does not wait for a server that %s', async (_, answer, text) => {
    handle = (_request, response) => answer(response);
    const patience = { retryDelayMs: 1, stallMs: 250 };
    await expect(downloadFile(file(), join(folder, 'a.whl'), () => {}, patience)).rejects.toThrow(
      new RegExp(`; after 5 tries: ${text} in 0\\.25 s; `),
    );
    await expect(listFiles(url, 'a', undefined, patience)).rejects.toThrow(new RegExp(` gave ${text} in 0\\.25 s; `));
  });

  it('says that a server sends on and on, and lists that do not end', async () => {
    handle = (_request, response) => response.writeHead(302, { location: '/a.whl' }).end();
    await expect(downloadFile(file(), join(folder, 'a.whl'))).rejects.toThrow('after 1 try: redirect after redirect; ');
    await expect(listFiles(url, 'a')).rejects.toThrow(`${url}/a/ gave redirect after redirect; `);
    handle = (_request, response) => endlessly(response, { bytes: 0 });
    await expect(listFiles(url, 'a')).rejects.toThrow(
      `${url}/a/ gave more than the ${64 << 20} bytes that it can have; `,
    );
  });

  it('tries again after a connection that breaks, from where it broke', async () => {
    handle = (request, response) => {
      if (requests.length > 1) return serveRange(request, response);
      response.writeHead(200, { 'content-length': BODY.length });
      response.write(BODY.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 50));
    };
    await downloadFile(file(), join(folder, 'a.whl'), () => {}, { retryDelayMs: 10 });
    expect(requests[1]).toMatch(/^\/a\.whl bytes=\d+-$/);
    expect(readFileSync(join(folder, 'a.whl')).equals(BODY)).toBe(true);
  });

  it('refuses a file with another hash, and keeps nothing of it', async () => {
    handle = serveRange;
    const wrong = 'f'.repeat(64);
    await expect(downloadFile(file('a.whl', wrong), join(folder, 'a.whl'))).rejects.toThrow(
      `backend install: a.whl must have SHA-256 ${wrong}; got ${SHA}; the file was damaged or replaced`,
    );
    expect(existsSync(join(folder, 'a.whl.part'))).toBe(false);
    expect(existsSync(join(folder, 'a.whl'))).toBe(false);
  });

  it.each([401, 403, 404])('keeps what is here where the server refuses with %i, and goes on there', async (status) => {
    handle = (_request, response) => response.writeHead(status).end();
    writeFileSync(join(folder, 'a.whl.part'), BODY.subarray(0, 150_000));
    await expect(downloadFile(file(), join(folder, 'a.whl'))).rejects.toThrow(`after 1 try: status ${status}; `);
    expect(readFileSync(join(folder, 'a.whl.part')).equals(BODY.subarray(0, 150_000))).toBe(true);
    handle = serveRange;
    await downloadFile(file(), join(folder, 'a.whl'));
    expect(requests.at(-1)).toBe('/a.whl bytes=150000-');
    expect(readFileSync(join(folder, 'a.whl')).equals(BODY)).toBe(true);
  });

  it('gives up after several tries on a server that fails, at once on a refusal', async () => {
    handle = (_request, response) => response.writeHead(503).end();
    await expect(downloadFile(file(), join(folder, 'a.whl'), () => {}, { retryDelayMs: 1 })).rejects.toThrow(
      /^backend install: a\.whl must download; after 5 tries: status 503; run the command again to go on where it stopped/,
    );
    expect(requests.length).toBe(5);
    requests = [];
    handle = (_request, response) => response.writeHead(404).end();
    await expect(downloadFile(file(), join(folder, 'a.whl'), () => {}, { retryDelayMs: 1 })).rejects.toThrow(
      /after 1 try: status 404/,
    );
  });
});

describe('package index', () => {
  it('reads a JSON answer, leaving out yanked files', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
      const hashes = { sha256: SHA };
      const files = [
        { filename: 'a-1.0-py3-none-any.whl', url: '../../files/a.whl', hashes, size: 5 },
        { filename: 'a-2.0-py3-none-any.whl', url: '../../files/b.whl', hashes, yanked: 'broken' },
      ];
      response.end(JSON.stringify({ files }));
    };
    expect(await listFiles(`${url}/simple/`, 'A_b.C')).toEqual([
      { name: 'a-1.0-py3-none-any.whl', url: `${url}/files/a.whl`, sha256: SHA, size: 5 },
    ]);
    expect(requests).toEqual(['/simple/a-b-c/']);
  });

  it('reads an HTML answer', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(`<!DOCTYPE html><body><a href="/f/a-1.0%2Bx-py3-none-any.whl#sha256=${SHA}">a</a>
        <a data-yanked="" href="/f/a-2.0-py3-none-any.whl#sha256=${SHA}">b</a></body>`);
    };
    expect(await listFiles(`${url}/simple`, 'a')).toEqual([
      { name: 'a-1.0+x-py3-none-any.whl', url: `${url}/f/a-1.0%2Bx-py3-none-any.whl`, sha256: SHA },
    ]);
  });

  it('leaves out names that lead out of the folder', async () => {
    handle = (request, response) => {
      const hashes = { sha256: SHA };
      const names = [
        '../../a-1.0-py3-none-any.whl',
        '/etc/a-1.0-py3-none-any.whl',
        '.a-1.0-py3-none-any.whl',
        'a\u001b[2J-1.0-py3-none-any.whl',
      ];
      if (request.url === '/json/a/') {
        response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
        response.end(JSON.stringify({ files: names.map((filename) => ({ filename, url: 'a.whl', hashes })) }));
      } else {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(`<a href="/f/..%2F..%2Fa-1.0-py3-none-any.whl#sha256=${SHA}">a</a>`);
      }
    };
    expect(await listFiles(`${url}/json`, 'a')).toEqual([]);
    expect(await listFiles(`${url}/html`, 'a')).toEqual([]);
  });

  it('chooses the pinned file of a version that is there with a build tag, too', () => {
    const pinned = 'c855cb6bf05d32dd5928086b03a5f6b4189b63c22b95e017703cbee4291023ca';
    const other = `tensorflow_cpu-2.16.2-1-${PLATFORM}.whl`;
    const files = [file(other), file(`tensorflow_cpu-2.16.2-${PLATFORM}.whl`, pinned)];
    expect(chooseWheel(files, 'tensorflow-cpu', '==2.16.2').sha256).toBe(pinned);
  });

  it('says what to do when the index does not know the project or cannot be reached', async () => {
    handle = (_request, response) => response.writeHead(404).end();
    await expect(listFiles(url, 'a')).rejects.toThrow(
      `backend install: the package index must answer; ${url}/a/ gave status 404; set PIP_INDEX_URL to one that can be reached`,
    );
    await new Promise((resolve) => server.close(resolve));
    await expect(listFiles(url, 'a')).rejects.toThrow(/the package index must answer; .* gave .*ECONNREFUSED/);
  });

  it('chooses the newest wheel that fits, for Linux x86_64 and one Python', () => {
    const names = [
      `tensorflow_cpu-2.16.1-${PLATFORM}.whl`,
      `tensorflow_cpu-2.16.2-${PLATFORM}.whl`,
      'tensorflow_cpu-2.16.2-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
      'tensorflow_cpu-2.16.2-cp311-cp311-win_amd64.whl',
      `tensorflow_cpu-2.17.0-${PLATFORM}.whl`,
    ];
    const files = names.map((name) => file(name));
    expect(chooseWheel(files, 'tensorflow-cpu', '==2.16.2').name).toBe(names[1]);
    expect(chooseWheel(files, 'tensorflow-cpu', '>=2.16,<3').name).toBe(names[4]);
    expect(() => chooseWheel(files, 'tensorflow-cpu', '==2.99')).toThrow(
      'backend install: tensorflow-cpu==2.99 needs a Linux x86_64 wheel for cp311; the index has versions 2.16.1, 2.16.2, 2.17.0; choose one with --tf-version',
    );
  });
});
