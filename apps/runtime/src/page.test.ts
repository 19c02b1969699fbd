import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { activateBackend } from '@rass/testkit';
import { chromiumExecutable, closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { blobFolder, makeManifest } from '@rass/weights';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { smallModelFiles } from '../../../packages/pipeline/src/small-model.test-support.ts';
import { buildSite, type Site, serveSite } from './site.test-support.ts';

type Page = Awaited<ReturnType<typeof openChromiumPage>>;

const PICTURES = fileURLToPath(new URL('../../../out/page', import.meta.url));
const PIECE = 64 << 10;
const TIME = 300_000;

describe.skipIf(chromiumExecutable() === undefined)('the page', { timeout: TIME }, () => {
  let folder: string;
  let built: string;
  let site: Site;
  let page: Page;
  beforeAll(async () => {
    await activateBackend('cpu');
    folder = mkdtempSync(join(tmpdir(), 'rass-page-'));
    const model = await smallModelFiles();
    const manifest = await makeManifest(blobFolder(model), [...model.keys()], { pieceBytes: PIECE });
    model.set('files.json', new Blob([JSON.stringify(manifest)]));
    built = await buildSite(folder, model);
    mkdirSync(PICTURES, { recursive: true });
  }, TIME);
  afterAll(async () => {
    await closeBrowsers();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    site = await serveSite(built);
    page = await openChromiumPage({ withoutWebgpu: true });
    await page.setViewportSize({ width: 390, height: 844 });
  });
  afterEach(async () => {
    await page.context().close();
    site.close();
  });

  const text = (selector: string): Promise<string | null> => page.textContent(selector);
  const ready = (): Promise<unknown> => page.waitForFunction("document.getElementById('device').textContent.startsWith('Computed on')"); // biome-ignore format: one line
  const shown = (selector: string): Promise<unknown> =>
    page.waitForSelector(selector, { state: 'visible', timeout: TIME });
  const small = { name: 'small.png', mimeType: 'image/png', buffer: Buffer.alloc(0) };
  /** Gives the page a picture of 64 x 48 pixels. */
  async function giveSmall(): Promise<void> {
    const url = await page.evaluate(`(() => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [64, 48];
      const context = canvas.getContext('2d');
      context.fillStyle = 'teal';
      context.fillRect(8, 8, 30, 20);
      return canvas.toDataURL();
    })()`);
    const buffer = Buffer.from((url as string).split(',')[1]!, 'base64');
    await page.setInputFiles('#file', { ...small, buffer });
  }
  const modelRequests = (): string[] => site.asked.filter((path) => path.startsWith('/model/'));

  it('restores and segments a sample, compares, shows layers, and saves, all with the keyboard', async () => {
    await page.goto(site.url);
    await ready();
    expect(await text('#device')).toMatch(/^Computed on .*WebAssembly.* \(webgpu: .*\)$/);
    await page.focus('#samples button');
    await page.keyboard.press('Enter');
    await shown('#result');
    expect(await page.isHidden('#error')).toBe(true);
    expect(await page.locator('#legend button').count()).toBeGreaterThan(0);
    expect(await text('#times')).toMatch(/segmenting[\d.]+ s.*restoring[\d.]+ s/);
    const cut = () => page.evaluate("document.getElementById('compare').style.getPropertyValue('--cut')");
    await page.focus('#slider');
    await page.keyboard.press('ArrowRight');
    expect(await cut()).toBe('49%');
    const layer = () => page.evaluate("document.getElementById('layer').toDataURL()");
    const classes = await layer();
    await page.focus('input[value=classes]');
    await page.keyboard.press('ArrowRight');
    await expect.poll(layer).not.toBe(classes);
    const downloading = page.waitForEvent('download');
    await page.focus('#save-restored');
    await page.keyboard.press('Enter');
    expect((await downloading).suggestedFilename()).toBe('restored.png');
    // Nothing is wider than a phone's screen.
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    writeFileSync(join(PICTURES, 'phone.png'), await page.screenshot({ fullPage: true }));
  });

  it('keeps every part of the program for visits without a network', () => {
    const parts = readdirSync(join(built, 'assets')).map((name) => `assets/${name}`);
    const [, kept] = /const FILES = (.*);/.exec(readFileSync(join(built, 'sw.js'), 'utf8'))!;
    expect(JSON.parse(kept!)).toEqual(expect.arrayContaining(parts));
    const asked = ['restore', 'segment', 'attend', 'colour-fix', 'exact', 'presets'];
    for (const name of asked) expect(parts.some((part) => part.startsWith(`assets/${name}-`))).toBe(true);
  });

  it('fetches the model once, and needs no server the next time', async () => {
    await page.goto(site.url);
    await ready();
    expect(modelRequests().length).toBeGreaterThan(5);
    await page.waitForFunction('navigator.serviceWorker.controller !== null');
    site.asked.length = 0;
    await page.reload();
    await ready();
    expect(modelRequests()).toEqual(['/model/files.json']);
    site.close();
    await page.reload();
    await ready();
    await giveSmall();
    await shown('#result');
    expect(await page.isHidden('#error')).toBe(true);
  });

  it('goes on with a download that broke', async () => {
    let left = 10;
    site.breaks = (path) => path.startsWith('/model/') && left-- <= 0;
    await page.goto(site.url);
    await shown('#error');
    expect(await text('#device')).toBe('Nothing here can compute');
    const first = modelRequests().length;
    site.breaks = () => false;
    site.asked.length = 0;
    await page.reload();
    await ready();
    const second = modelRequests().length;
    await page.evaluate('caches.keys().then((names) => Promise.all(names.map((name) => caches.delete(name))))');
    site.asked.length = 0;
    await page.reload();
    await ready();
    const whole = modelRequests().length;
    expect(first).toBeGreaterThan(5);
    expect(second).toBeLessThan(whole);
  });

  it('says what is wrong with a picture, and takes the next one', async () => {
    await page.goto(site.url);
    await ready();
    await page.setInputFiles('#file', { ...small, buffer: Buffer.from('no picture') });
    await shown('#error');
    expect(await text('#error')).not.toBe('');
    await giveSmall();
    await shown('#result');
    expect(await page.isHidden('#error')).toBe(true);
  });

  it('says what is wrong with the model', async () => {
    const bytes = Buffer.alloc(PIECE, 7);
    await page.route('**/model/unet/*.safetensors', (route) => route.fulfill({ status: 206, body: bytes.subarray(0, 8), headers: { 'content-range': 'bytes 0-7/8' } })); // biome-ignore format: one line
    await page.goto(site.url);
    await shown('#error');
    expect(await text('#error')).toContain('unet/diffusion_pytorch_model.safetensors');
  });

  it('stops when it is told to, tells how far it is, and goes on with another photograph', async () => {
    await page.goto(site.url);
    await ready();
    await page.evaluate(`(() => {
      globalThis.seen = [];
      new MutationObserver(() => seen.push(document.getElementById('stage').textContent)).observe(document.getElementById('stage'), { childList: true, characterData: true, subtree: true });
    })()`);
    await page.click('#samples button');
    await page.waitForFunction("document.getElementById('stop').disabled === false");
    await page.click('#stop');
    await page.waitForFunction("document.getElementById('stop').disabled");
    expect(await page.isHidden('#result')).toBe(true);
    expect(await page.isHidden('#error')).toBe(true);
    await giveSmall();
    await shown('#result');
    const seen = new Set((await page.evaluate('seen')) as string[]);
    for (const stage of ['Finding what it shows', 'Restoring it', 'Looking where the model looks'])
      expect(seen).toContain(stage);
  });
});
