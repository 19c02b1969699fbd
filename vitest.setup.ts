import { selectBackend } from '@rass/kernels';
import { provideBackends } from '@rass/testkit';
import { inject } from 'vitest';

provideBackends({ available: inject('backends'), activate: (name) => selectBackend(name) });
