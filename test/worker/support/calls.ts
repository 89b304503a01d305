// A model call with the defaults of a minimal body.
import type { ModelCall } from "../../../worker/inference/model-call.ts";

export function callOf(more: Partial<ModelCall> = {}): ModelCall {
  return {
    dialect: "chat",
    format: "mediczy",
    modelPort: null,
    agentType: null,
    model: null,
    stream: false,
    mayFallBack: true,
    choices: 1,
    choicesParam: "n",
    suspects: [],
    maxTokens: null,
    continuable: true,
    needs: [{ capability: "chat", param: undefined }],
    scopeName: null,
    ...more,
  };
}
