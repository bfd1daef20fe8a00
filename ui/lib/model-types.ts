/** Types of the model's parts that have a schema and no type of their own. */
import type { VmSpec } from "../../src/model/vm.ts";

export type CloudInitSpec = NonNullable<VmSpec["cloudInit"]>;
