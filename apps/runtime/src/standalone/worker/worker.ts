import type { Endpoint } from '../../protocol/messages.ts';
import { serve } from '../../worker/serve.ts';
import { ownWasm } from './own-wasm.ts';

serve(globalThis as unknown as Endpoint, ownWasm);
