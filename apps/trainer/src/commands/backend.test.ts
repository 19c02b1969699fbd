import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-command-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function rass(args: string[], env: NodeJS.ProcessEnv = {}) {
  const options = { encoding: 'utf8' as const, env: { ...process.env, RASS_NATIVE_ADDON: '', ...env } };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'backend', ...args], options);
  return { status, stdout, stderr };
}

describe('rass backend list', () => {
  it('shows every backend, and what to do about one that is missing', () => {
    const { status, stdout } = rass(['list', '--cache-dir', folder]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^backend +here +what it is, or what to do\n/);
    expect(stdout).toMatch(
      /\nnative +no +native backend: .* needs its native addon; it was never built; run `rass backend install`\n/,
    );
    expect(stdout).toMatch(
      /\nwasm +yes +TensorFlow\.js 4\.\d+\.\d+ in WebAssembly; 1 thread, SIMD, tensors to 4096 MiB\n/,
    );
    expect(stdout).toMatch(/\ncpu +yes +TensorFlow\.js 4\.\d+\.\d+ in plain JavaScript; 1 thread\n/);
    expect(stdout).toMatch(/\nauto takes (webgpu|wasm)\n$/);
  });

  it('prints the same for programs', () => {
    const statuses = JSON.parse(rass(['list', '--json', '--cache-dir', folder]).stdout);
    expect(statuses.map(({ name }: { name: string }) => name)).toEqual(['native', 'webgpu', 'wasm', 'cpu']);
    expect(statuses[0]).toMatchObject({ available: false, reason: expect.stringContaining('rass backend install') });
    expect(statuses[2]).toMatchObject({ available: true, capabilities: { simd: true, threads: 1 } });
  });
});

describe('rass backend install', () => {
  const impossible = ['install', '--offline'];

  it('fails with one message and status 1', () => {
    const { status, stderr } = rass([...impossible, '--cache-dir', folder]);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^backend install: offline, the library must be at hand; .*--library-dir with an unpacked one\n$/,
    );
  });

  it('with --optional says so in one line and succeeds', () => {
    const { status, stdout, stderr } = rass([...impossible, '--optional', '--cache-dir', folder]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^native backend not installed: backend install: offline, .*\n$/);
    expect(stderr).toBe('');
  });

  it('with --if-missing is silent where the backend is there', () => {
    const { status, stdout, stderr } = rass([...impossible, '--if-missing'], { RASS_NATIVE_ADDON: MAIN });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('refuses a downloader that it does not know', () => {
    const { status, stderr } = rass(['install', '--downloader', 'carrier-pigeon']);
    expect(status).toBe(1);
    expect(stderr).toContain("argument 'carrier-pigeon' is invalid. Allowed choices are auto, pip, direct.");
  });
});

describe('rass backend check', () => {
  it('runs every op and its gradient against double precision', () => {
    const { status, stdout, stderr } = rass(['check', 'cpu', '--no-speed', '--json']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const { backend, accuracy } = JSON.parse(stdout);
    expect(backend.name).toBe('cpu');
    expect(accuracy.length).toBeGreaterThanOrEqual(10);
    for (const result of accuracy) expect(result).toMatchObject({ ok: true });
  });

  it('refuses a name that it does not know', () => {
    const { status, stderr } = rass(['check', 'cuda']);
    expect(status).toBe(1);
    expect(stderr).toContain("command-argument value 'cuda' is invalid for argument 'name'");
  });
});
