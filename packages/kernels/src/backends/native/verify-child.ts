// Run in a process of its own by verify.ts: an addon that crashes on load must not take the installer with it.
import { conv2d, matMul, setBackend, sum, tensor2d, tensor4d } from '@tensorflow/tfjs-core';
import { loadNativeBackend, NATIVE_BACKEND } from './load.ts';

const info = loadNativeBackend();
if (!(await setBackend(NATIVE_BACKEND))) throw new Error('native backend: TensorFlow.js did not accept the addon');

const product = await matMul(tensor2d([1, 2, 3, 4], [2, 2]), tensor2d([5, 6, 7, 8], [2, 2])).data();
const image_BHWC = tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
const total = await sum(conv2d(image_BHWC, tensor4d([1, 1, 1, 1], [2, 2, 1, 1]), 1, 'valid')).data();
const values = [...product, ...total];
console.log(JSON.stringify({ version: info.version, device: info.device, values }));
