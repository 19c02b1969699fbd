export {
  describeGroups,
  type GroupDefaults,
  type GroupRule,
  groupedVariables,
  type ParameterGroup,
  parameterGroups,
} from './optimizer/parameter-groups.ts';
