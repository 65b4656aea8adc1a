"""Any features under the same protocols: ResNet, ViT, ONNX, a Python callable."""
