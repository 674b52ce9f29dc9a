// Print what .NET Framework 4.5 has of the members that ps_scripts uses: the data of tests/powershell/framework_api.txt.
//
// Usage: mono framework_api.exe FOLDER < NAMES, where FOLDER has the reference assemblies (Debian's package mono-devel:
// /usr/lib/mono/4.5-api), and NAMES has lines "type NAME", "static TYPE MEMBER", and "method NAME".
// Output, sorted: "type NAME", "new TYPE(PARAMETERS)", "static TYPE.MEMBER" or "static TYPE.MEMBER(PARAMETERS)", and
// "method NAME(PARAMETERS)" of any type. A last parameter of any number is marked with "params ".
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;

class FrameworkApi
{
    // What Windows PowerShell loads by itself, and System.IO.Compression.FileSystem, which the scripts add.
    const string Assemblies = "mscorlib System System.Core System.Xml System.Management System.Security System.Numerics " +
        "System.IO.Compression System.IO.Compression.FileSystem System.Configuration System.ServiceProcess";

    static string Parameters(MethodBase method)
    {
        return "(" + string.Join(", ", method.GetParameters().Select(p =>
            (p.GetCustomAttributesData().Any(a => a.Constructor.DeclaringType.Name == "ParamArrayAttribute") ? "params " : "")
            + p.ParameterType.ToString())) + ")";
    }

    static void Main(string[] arguments)
    {
        string[] folders = { arguments[0], Path.Combine(arguments[0], "Facades") };
        AppDomain.CurrentDomain.ReflectionOnlyAssemblyResolve += (sender, e) =>
            folders.Select(f => Path.Combine(f, new AssemblyName(e.Name).Name + ".dll")).Where(File.Exists)
                .Select(Assembly.ReflectionOnlyLoadFrom).FirstOrDefault();
        var types = Assemblies.Split(' ').SelectMany(n =>
            Assembly.ReflectionOnlyLoadFrom(Path.Combine(arguments[0], n + ".dll")).GetExportedTypes()).ToList();
        var byName = new Dictionary<string, Type>(StringComparer.OrdinalIgnoreCase);
        foreach (var type in types) byName[type.FullName] = type;
        var lines = new SortedSet<string>(StringComparer.Ordinal);
        string line;
        while ((line = Console.ReadLine()) != null)
        {
            var words = line.Split(' ');
            if (words[0] == "method")
            {
                foreach (var m in types.SelectMany(t => t.GetMethods()).Where(m => !m.IsStatic && Same(m.Name, words[1])))
                    lines.Add("method " + m.Name + Parameters(m));
                continue;
            }
            Type found;
            if (!byName.TryGetValue(words[1], out found)) continue;
            lines.Add("type " + found.FullName);
            if (words[0] == "new")
                foreach (var c in found.GetConstructors()) lines.Add("new " + found.FullName + Parameters(c));
            if (words[0] == "static")
                foreach (var m in found.GetMembers(BindingFlags.Public | BindingFlags.Static | BindingFlags.FlattenHierarchy))
                    if (Same(m.Name, words[2]))
                        lines.Add("static " + found.FullName + "." + m.Name + (m is MethodInfo ? Parameters((MethodInfo)m) : ""));
        }
        foreach (var each in lines) Console.WriteLine(each);
    }

    static bool Same(string one, string other) { return string.Equals(one, other, StringComparison.OrdinalIgnoreCase); }
}
