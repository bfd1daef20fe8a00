import { conformanceFiles, conformancePart } from "../../testing/lab/storage-vm/conformance-part.ts";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(conformanceFiles, conformancePart("thin", 3));
