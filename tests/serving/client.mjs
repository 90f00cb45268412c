// Asks a server over REST (fetch) and, where @grpc/grpc-js is installed, over gRPC; prints JSON.
//
//     node client.mjs HOST REST_PORT GRPC_PORT DESCRIPTORS

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [host, restPort, grpcPort, descriptors] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const found = {};

const url = `http://${host}:${restPort}/v1/models/dense`;
const body = JSON.stringify({ signature_name: "logits", instances: [[1, 2, 3]] });
const answer = await fetch(`${url}:predict`, { method: "POST", body });
found.rest = (await answer.json()).predictions;
found.refused = (await fetch(`${url}/versions/9`)).status;

let grpc, loader;
try {
  grpc = require("@grpc/grpc-js");
  loader = require("@grpc/proto-loader");
} catch {
  console.log(JSON.stringify(found));
  process.exit(0);
}
const definition = loader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors));
const { PredictionService } = grpc.loadPackageDefinition(definition).tensorflow.serving;
const client = new PredictionService(`${host}:${grpcPort}`, grpc.credentials.createInsecure());
const request = {
  model_spec: { name: "dense", signature_name: "logits" },
  inputs: [  // a descriptor's map is a list of entries; on the wire it is the same
    {
      key: "x",
      value: {
        dtype: "DT_FLOAT",
        tensor_shape: { dim: [{ size: 1 }, { size: 3 }] },
        float_val: [1, 2, 3],
      },
    },
  ],
};
client.Predict(request, (error, response) => {
  found.grpc = error ? String(error) : response.outputs.find(({ key }) => key === "logits").value.float_val;
  console.log(JSON.stringify(found));
  client.close();
});
