// The dependency rule: kernels <- nn <- weights <- models, and weights <- lora <- merge; attention-alignment knows nn alone; rass composes
// models and lora, the pipeline opens what was trained. Nothing imports sideways or upwards, nothing in a circle.
const models = '^packages/(unet|vae|text-encoder|mask2former)/';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'kernels-know-no-package',
      severity: 'error',
      from: { path: '^packages/kernels/src' },
      to: { path: '^packages/(?!kernels/|testkit/)' },
    },
    {
      name: 'nn-knows-kernels',
      severity: 'error',
      from: { path: '^packages/nn/src' },
      to: { path: '^packages/(?!nn/|kernels/|testkit/)' },
    },
    {
      name: 'weights-know-nn-and-kernels',
      severity: 'error',
      from: { path: '^packages/weights/src' },
      to: { path: '^packages/(?!weights/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'lora-knows-weights-and-below',
      severity: 'error',
      from: { path: '^packages/lora/src', pathNot: '\\.(test|test-support)\\.ts$' },
      to: { path: '^packages/(?!lora/|weights/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'attention-alignment-knows-nn-and-kernels',
      severity: 'error',
      from: { path: '^packages/attention-alignment/src', pathNot: '\\.(test|test-support)\\.ts$' },
      to: { path: '^packages/(?!attention-alignment/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'merge-knows-lora-and-below',
      severity: 'error',
      from: { path: '^packages/merge/src', pathNot: '\\.(test|test-support)\\.ts$' },
      to: { path: '^packages/(?!merge/|lora/|weights/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'models-know-no-model',
      severity: 'error',
      from: { path: '^packages/(unet|vae|text-encoder|mask2former)/src' },
      to: { path: models, pathNot: '^packages/$1/' },
    },
    {
      name: 'metrics-know-nn-and-kernels',
      severity: 'error',
      from: { path: '^packages/metrics/src', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!metrics/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'training-knows-weights-and-below',
      severity: 'error',
      from: { path: '^packages/training/src', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!training/|weights/|nn/|kernels/|testkit/)' },
    },
    {
      name: 'scenes-know-no-package',
      severity: 'error',
      from: { path: '^packages/scenes/src' },
      to: { path: '^packages/(?!scenes/|testkit/)' },
    },
    {
      name: 'degradation-knows-no-package',
      severity: 'error',
      from: { path: '^packages/degradation/src', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!degradation/)' },
    },
    {
      name: 'only-the-pipeline-and-apps-know-rass',
      severity: 'error',
      from: { path: '^packages/(?!rass/|pipeline/)' },
      to: { path: '^packages/rass/' },
    },
    {
      name: 'only-apps-know-the-pipeline',
      severity: 'error',
      from: { path: '^packages/(?!pipeline/)' },
      to: { path: '^packages/pipeline/' },
    },
    {
      name: 'packages-know-no-app',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(apps|bench|examples)/' },
    },
    {
      name: 'testkit-is-for-tests',
      severity: 'error',
      from: { path: '^(packages|apps)/', pathNot: '(^packages/testkit/|\\.test\\.ts$|\\.test-support\\.ts$)' },
      to: { path: '^packages/testkit/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    parser: 'tsc',
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs'],
    },
  },
};
