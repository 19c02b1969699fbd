import { describe, expect, it } from 'vitest';
import { type AdapterNames, adapterNames, adapterTitle, isSoftwareAdapter } from './adapter.ts';

const names = (given: Partial<AdapterNames>): AdapterNames => ({
  vendor: '',
  architecture: '',
  device: '',
  description: '',
  isFallbackAdapter: false,
  ...given,
});

describe('isSoftwareAdapter', () => {
  it.each<[string, Partial<AdapterNames>]>([
    ['SwiftShader in Dawn', { vendor: 'google', architecture: 'swiftshader', description: 'SwiftShader driver 5.0.0' }],
    ['SwiftShader in Chromium', { vendor: 'google', architecture: 'swiftshader' }],
    ['lavapipe', { vendor: 'mesa', device: '0x0000', description: 'llvmpipe (LLVM 15.0.6, 256 bits)' }],
    ['WARP', { vendor: 'microsoft', architecture: 'warp' }],
    ['the Basic Render Driver', { vendor: 'microsoft', description: 'Microsoft Basic Render Driver' }],
    ['anything that calls itself a fallback', { vendor: 'unknown', isFallbackAdapter: true }],
  ])('knows %s', (_, given) => {
    expect(isSoftwareAdapter(names(given))).toBe(true);
  });

  it.each<[string, Partial<AdapterNames>]>([
    ['NVIDIA', { vendor: 'nvidia', architecture: 'hopper', description: 'NVIDIA H100 80GB HBM3' }],
    ['AMD', { vendor: 'amd', architecture: 'rdna-3', description: 'AMD Radeon RX 7900 XTX (RADV NAVI31)' }],
    ['Intel', { vendor: 'intel', architecture: 'xe-2lpg', description: 'Intel(R) Arc(tm) Graphics' }],
    ['Apple', { vendor: 'apple', architecture: 'metal-3' }],
    ['Qualcomm', { vendor: 'qualcomm', architecture: 'adreno-7xx' }],
    ['a browser that tells nothing', {}],
  ])('does not take %s for one', (_, given) => {
    expect(isSoftwareAdapter(names(given))).toBe(false);
  });
});

describe('adapterNames', () => {
  it('reads adapters of older browsers, which have less to say', () => {
    expect(adapterNames({ isFallbackAdapter: true } as unknown as GPUAdapter)).toEqual(
      names({ isFallbackAdapter: true }),
    );
    const info = { vendor: 'apple', architecture: 'metal-3' };
    expect(adapterNames({ info } as unknown as GPUAdapter)).toEqual(names(info));
  });

  it('has a title whatever is known', () => {
    expect(adapterTitle(names({ vendor: 'apple', architecture: 'metal-3' }))).toBe('apple metal-3');
    expect(adapterTitle(names({ description: 'NVIDIA H100' }))).toBe('NVIDIA H100');
    expect(adapterTitle(names({}))).toBe('a GPU');
  });
});
