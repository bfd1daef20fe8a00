import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";
import { conformanceFiles, conformancePart } from "./testing/conformance-part.ts";

await testInStorageVm(conformanceFiles, conformancePart("thick", 2));
