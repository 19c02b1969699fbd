import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { TestProject } from 'vitest/node';
import { chromiumExecutable } from './packages/testkit/src/browser.ts';
import { pythonExecutable } from './packages/testkit/src/python.ts';

const ALL = ['native', 'wasm', 'cpu', 'webgpu'] as const;
type Name = (typeof ALL)[number];

/** The software Vulkan driver that Debian's chromium carries: enough for Dawn in Node to compute with. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

declare module 'vitest' {
  interface ProvidedContext {
    backends: Name[];
  }
}

/** Finds out once which backends this machine has, and says in one line what will be skipped. */
export default async function globalSetup(project: TestProject): Promise<void> {
  // The workers inherit the environment, which the Vulkan loader reads when it first looks for a device.
  if (!process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) {
    process.env.VK_ICD_FILENAMES = SWIFTSHADER;
  }
  // Vulkan's loader complains on stderr without one.
  process.env.XDG_RUNTIME_DIR ??= tmpdir();
  const asked = process.env.RASS_TEST_BACKENDS?.split(',') as Name[] | undefined;
  const { listBackends } = await import('@rass/kernels');
  const found = await listBackends();
  const available = ALL.filter((name) => found.some((backend) => backend.name === name && backend.available));
  const backends = asked ?? available;
  project.provide('backends', backends);
  for (const name of ALL) {
    if (backends.includes(name)) continue;
    const reason = asked ? 'RASS_TEST_BACKENDS leaves it out' : found.find((backend) => backend.name === name)?.reason;
    console.log(`tests on the ${name} backend are skipped: ${reason ?? 'not available'}`);
  }
  if (pythonExecutable() === undefined) {
    console.log('tests that compare with Python are skipped: set RASS_PYTHON, or run `pnpm golden` once');
  }
  if (!process.env.RASS_TEST_DATA) {
    console.log('tests on photographs are skipped: RASS_TEST_DATA names no folder of them');
  }
  if (chromiumExecutable() === undefined) console.log('tests in a browser are skipped: Chromium is not installed');
}
