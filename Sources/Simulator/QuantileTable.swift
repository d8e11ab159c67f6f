/// How functions differ in a production system: quantiles of the Azure Functions trace of 2019.
///
/// Source: the `value,CDF` tables `invokesCDF.csv`, `CVs.csv`, `execTimeCDF.csv` and `memCDF.csv` of
/// SJTU-IPADS/ServerlessBench (Mulan PSL v1), computed from Azure/AzurePublicDataset's Azure Functions 2019 (CC-BY 4.0;
/// Shahrad et al., "Serverless in the Wild", USENIX ATC 2020).
///
/// Method: the quantile at p = 0, 1, 2, ... 100 % is the first value of the source's table whose CDF is at least p (less
/// 1e-9) and above 0. CVs are rounded to three places, the others are as they are there.
struct QuantileTable: Sendable {
    /// At 0 %, 1 %, ... 100 %, ascending.
    let values: [Double]

    private init(_ values: [Double]) { self.values = values }

    /// Linear between the quantiles.
    ///
    /// - Parameter share: 0 to 1.
    func value(at share: Double) -> Double {
        let place = min(max(share, 0), 1) * Double(values.count - 1)
        let below = min(Int(place), values.count - 2)
        return values[below] + (place - Double(below)) * (values[below + 1] - values[below])
    }

    /// Invocations per function and day.
    static let invocationsPerDay = QuantileTable([
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 11,
        12, 14, 16, 19, 23, 25, 25, 29, 36, 43, 49, 53, 63, 74, 87, 97, 102, 120, 140, 146, 167, 193, 222, 252, 287,
        288, 289, 289, 289, 296, 327, 361, 382, 433, 480, 481, 481, 543, 584, 694, 749, 873, 1030, 1226, 1437, 1441,
        1442, 1587, 1789, 2158, 2660, 2909, 3600, 4504, 5761, 7600, 10_097, 13_872, 20_132, 34_536, 58_745, 106_977,
        333_222, 128_592_666,
    ])

    /// Coefficient of variation (standard deviation / mean) of the gaps between a function's invocations.
    static let gapVariation = QuantileTable([
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.005, 0.014, 0.021, 0.03, 0.041, 0.051,
        0.058, 0.071, 0.085, 0.099, 0.11, 0.121, 0.134, 0.149, 0.173, 0.199, 0.217, 0.246, 0.276, 0.302, 0.333, 0.353,
        0.38, 0.409, 0.44, 0.467, 0.497, 0.523, 0.561, 0.602, 0.651, 0.703, 0.749, 0.791, 0.808, 0.858, 0.9, 0.938,
        0.976, 1.004, 1.053, 1.12, 1.172, 1.247, 1.318, 1.386, 1.44, 1.531, 1.612, 1.7, 1.775, 1.871, 1.967, 2.053,
        2.165, 2.278, 2.408, 2.519, 2.663, 2.816, 2.996, 3.17, 3.379, 3.61, 3.867, 4.173, 4.542, 4.986, 5.5, 6.127,
        6.899, 7.817, 9.192, 11.08, 13.928, 19.124, 33.283, 1448.416,
    ])

    /// Execution time in milliseconds.
    static let durationMilliseconds = QuantileTable([
        0, 0, 0, 0, 5, 10, 10, 15, 15, 20, 20, 25, 30, 30, 35, 45, 50, 55, 60, 70, 80, 85, 95, 105, 115, 125, 135, 145,
        155, 165, 180, 190, 205, 220, 240, 255, 275, 295, 320, 340, 365, 390, 420, 445, 470, 500, 525, 560, 595, 630,
        670, 715, 755, 805, 850, 890, 940, 985, 1040, 1095, 1155, 1225, 1290, 1355, 1435, 1525, 1625, 1735, 1850, 1980,
        2125, 2285, 2460, 2655, 2875, 3120, 3390, 3700, 4030, 4400, 4835, 5330, 5870, 6535, 7305, 8210, 9295, 10_525,
        12_125, 14_065, 16_555, 20_005, 23_765, 28_720, 33_555, 42_295, 55_280, 74_935, 110_970, 222_620, 1_571_585,
    ])

    /// Memory in MB.
    static let memoryMegabytes = QuantileTable([
        30, 90, 90, 95, 95, 100, 100, 105, 105, 105, 110, 110, 110, 110, 110, 110, 110, 115, 115, 115, 115, 115, 115,
        115, 115, 120, 120, 120, 120, 120, 120, 120, 120, 125, 125, 125, 125, 125, 125, 130, 130, 130, 130, 130, 130,
        135, 135, 135, 135, 140, 140, 145, 145, 150, 150, 155, 160, 160, 165, 165, 170, 170, 175, 175, 175, 175, 180,
        180, 180, 180, 180, 180, 185, 185, 185, 185, 185, 190, 190, 190, 190, 190, 195, 195, 195, 200, 200, 200, 205,
        205, 210, 210, 215, 220, 230, 240, 260, 295, 335, 405, 1460,
    ])
}
