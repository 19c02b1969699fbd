import type { Endpoint } from '../protocol/messages.ts';
import { serve } from './serve.ts';

serve(globalThis as unknown as Endpoint);
