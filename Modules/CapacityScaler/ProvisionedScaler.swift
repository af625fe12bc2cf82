public import BorealisClusterModel
public import BorealisCore

/// An instance of one class: its size changes when somebody changes the class.
public struct ProvisionedScaler: CapacityScaler, Hashable {
  /// The class.
  public let instanceClass: InstanceClass
  /// Makes the scaler of a class.
  public init(_ instanceClass: InstanceClass) { self.instanceClass = instanceClass }
  /// The class's capacity alone.
  public var bounds: ClosedRange<InstanceCapacity> { instanceClass.capacity...instanceClass.capacity }
  /// The class's capacity.
  public var initial: InstanceCapacity { instanceClass.capacity }
  /// The class's capacity, whatever the load.
  public mutating func capacity(for _: InstanceLoad, in _: ClusterLoad, now _: Instant) -> InstanceCapacity {
    instanceClass.capacity
  }
}

extension CapacityScaler where Self == ProvisionedScaler {
  /// A provisioned instance of a class.
  public static func provisioned(_ instanceClass: InstanceClass) -> ProvisionedScaler {
    ProvisionedScaler(instanceClass)
  }
}
